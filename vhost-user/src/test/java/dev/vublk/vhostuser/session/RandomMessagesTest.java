// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.Wire;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Front ends that send anything in any order. Whatever they do, the process lives, the device's promises hold and nothing
 * stays behind.
 */
final class RandomMessagesTest {
    private static final long RING_PACKED = 1L << 34;

    private static final int SESSIONS = 150;
    private static final int SESSIONS_MAX = 10 * SESSIONS;
    private static final int STARTED_MIN = 26;
    private static final int MESSAGES = 200;

    /** No message of the protocol. */
    private static final int LAST = 7777;

    private static final FrontendRequest[] REQUESTS = FrontendRequest.values();
    private static final FrontendRequest[] RING_REQUESTS = {
        FrontendRequest.SET_VRING_NUM,
        FrontendRequest.SET_VRING_ADDR,
        FrontendRequest.SET_VRING_BASE,
        FrontendRequest.SET_VRING_KICK,
        FrontendRequest.SET_VRING_CALL,
        FrontendRequest.SET_VRING_ENABLE,
    };

    @TempDir
    private Path directory;

    private long seed;
    private Random random = new Random();
    private final FrontendMemory memory = FrontendMemory.create(0, 1 << 20);
    private final FrontendMemory more = FrontendMemory.create(1 << 20, 1 << 20, 0x123000);
    private int[] fds = new int[0];

    RandomMessagesTest() throws IOException {}

    @Test
    void shouldSurviveRandomFrontEnds() throws Exception {
        seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("RandomMessagesTest: -Dvublk.seed=" + seed);
        random = new Random(seed);
        int eventFd = EventFd.create();
        try (BackendUnderTest backend = new BackendUnderTest(
                        ListenerOptions.atPath(directory.resolve("vhost.sock").toString()),
                        SessionOptions.DEFAULT
                                .without(OptionalFeature.POSTCOPY)
                                .with(
                                        OptionalFeature.IN_ORDER,
                                        OptionalFeature.ORDER_PLATFORM,
                                        OptionalFeature.IN_BAND_NOTIFICATIONS));
                Pipe pipe = new Pipe()) {
            fds = new int[] {memory.fd(), more.fd(), eventFd, pipe.writeFd(), pipe.readFd()};
            ProcessResources before = settled(backend);
            int started = 0;
            // As many as get a ring started once in a while: otherwise nothing would be tried but the front door.
            for (int i = 0; i < SESSIONS || (started < STARTED_MIN && i < SESSIONS_MAX); i++) {
                runSession(backend);
                RecordingDevice device = backend.nextDevice();
                device.awaitClosed();
                assertThat(device.broken()).as("seed %d, session %d", seed, i).isEmpty();
                assertThat(device.running).as("seed %d, session %d", seed, i).isEmpty();
                started += device.setups.size();
            }
            assertThat(settled(backend)).as("seed %d", seed).isEqualTo(before);
            assertThat(started).as("rings started, seed %d", seed).isGreaterThanOrEqualTo(STARTED_MIN);
        } finally {
            memory.close();
            more.close();
            FileDescriptor.close(eventFd);
        }
    }

    private static ProcessResources settled(BackendUnderTest backend) throws Exception {
        try (VhostUserFrontend frontend = backend.connect()) {
            frontend.getFeatures();
            backend.nextDevice();
            return ProcessResources.now();
        }
    }

    private void runSession(BackendUnderTest backend) throws IOException {
        try (VhostUserFrontend frontend = backend.connect()) {
            long features = frontend.getFeatures();
            if (random.nextInt(4) != 0) {
                frontend.setProtocolFeatures(frontend.getProtocolFeatures());
                frontend.setFeatures(
                        (random.nextBoolean() ? features : 1L << 32) & ~(random.nextBoolean() ? RING_PACKED : 0));
                frontend.setMemTable(memory);
            }
            try {
                for (int i = 0; i < MESSAGES; i++) {
                    sendSomething(frontend);
                }
                awaitLastReply(frontend);
            } catch (IOException e) {
                // The back end has ended the session: its right.
            }
        }
    }

    /** Leaving earlier would end the session at the first reply that can no longer be sent. */
    private static void awaitLastReply(VhostUserFrontend frontend) throws IOException {
        frontend.send(new MessageHeader(LAST, MessageHeader.VERSION | MessageHeader.FLAG_NEED_REPLY, 0), Wire.empty());
        MessageHeader reply;
        do {
            reply = frontend.receiveHeader();
            frontend.receiveBytes(reply.sizeBytes());
        } while (reply.request() != LAST);
    }

    private void sendSomething(VhostUserFrontend frontend) throws IOException {
        // Rings need four messages each before they run.
        FrontendRequest request = random.nextInt(5) == 0
                ? REQUESTS[random.nextInt(REQUESTS.length)]
                : RING_REQUESTS[random.nextInt(RING_REQUESTS.length)];
        // Nearly always with NEED_REPLY: without it the first mistake would be the last.
        int flags = MessageHeader.VERSION | (random.nextInt(200) == 0 ? 0 : MessageHeader.FLAG_NEED_REPLY);
        ByteBuffer payload = random.nextInt(8) == 0 ? garbage(random.nextInt(64)) : plausible(request);
        int id = random.nextInt(100) == 0 ? random.nextInt() : request.id();
        int size = random.nextInt(500) == 0 ? random.nextInt() : payload.remaining();
        frontend.send(new MessageHeader(id, flags, size), payload, someFds(request));
    }

    private int[] someFds(FrontendRequest request) {
        int count = random.nextInt(10) == 0
                ? random.nextInt(4)
                : Math.min(request.fdCountMax(), Math.max(request.fdCountMin(), random.nextInt(3)));
        int[] passed = new int[count];
        for (int i = 0; i < count; i++) {
            passed[i] = fds[random.nextInt(fds.length)];
        }
        return passed;
    }

    private ByteBuffer plausible(FrontendRequest request) {
        return switch (request) {
            case SET_FEATURES -> Wire.u64(1L << 32 | (long) random.nextInt(2) << 30 | (long) random.nextInt(2) << 29);
            case SET_PROTOCOL_FEATURES -> Wire.u64(random.nextInt(4) == 0 ? random.nextInt() : 1L << 15 | 1L << 9);
            case SET_MEM_TABLE -> {
                int count = random.nextInt(3);
                ByteBuffer table = Wire.allocate(8 + 32 * count).putInt(count).putInt(0);
                for (int i = 0; i < count; i++) {
                    region().encode(table);
                }
                yield table.flip();
            }
            case ADD_MEM_REG, REM_MEM_REG -> region().encodePadded();
            case SET_VRING_ADDR -> new VringAddress(index(), 0, address(16), address(4), address(2), 0).encode();
            case SET_VRING_NUM -> state(1 << random.nextInt(12));
            case SET_VRING_BASE, GET_VRING_BASE -> // The second is one of a packed ring, too.
                state(random.nextBoolean() ? random.nextInt(1 << 16) : random.nextInt(2) << 15);
            case SET_VRING_ENABLE -> state(random.nextInt(2));
            case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR ->
                Wire.u64(index() | (random.nextInt(4) == 0 ? 1 << 8 : 0));
            case GET_CONFIG, SET_CONFIG -> {
                int size = random.nextInt(70);
                ByteBuffer payload = Wire.allocate(12 + size);
                new ConfigSpaceAccess(random.nextInt(260), size, random.nextInt(3)).encode(payload);
                yield payload.clear();
            }
            default -> garbage(request.payloadSizeBytesMin());
        };
    }

    private int index() {
        return random.nextInt(20) == 0 ? random.nextInt(256) : random.nextInt(RecordingDevice.QUEUES) / 2;
    }

    private ByteBuffer state(int num) {
        return Wire.allocate(8).putInt(index()).putInt(num).flip();
    }

    private MemoryRegionDescription region() {
        FrontendMemory either = random.nextBoolean() ? memory : more;
        MemoryRegionDescription honest = either.description();
        if (random.nextInt(3) != 0) {
            return honest;
        }
        return new MemoryRegionDescription(
                honest.guestAddress() + skew(),
                honest.sizeBytes() + skew(),
                honest.userAddress() + skew(),
                honest.mmapOffsetBytes() + skew());
    }

    private long skew() {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextLong();
            case 1 -> random.nextInt(8192) - 4096L;
            default -> 0;
        };
    }

    private long address(int alignment) {
        FrontendMemory either = random.nextBoolean() ? memory : more;
        long offset = random.nextInt(20) == 0 ? random.nextInt() : random.nextInt((1 << 20) - 70_000);
        return (either.hostAddress() + offset) & -(long) (random.nextInt(20) == 0 ? 1 : alignment);
    }

    private ByteBuffer garbage(int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        return Wire.wrap(bytes);
    }
}
