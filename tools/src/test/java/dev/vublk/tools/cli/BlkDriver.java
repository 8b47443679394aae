// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.Poll;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;

/** A guest's virtio-blk driver with one queue and one request at a time. */
final class BlkDriver implements AutoCloseable {
    static final int S_OK = 0;
    static final int S_IOERR = 1;

    private static final int T_IN = 0;
    private static final int T_OUT = 1;
    private static final int T_FLUSH = 4;
    private static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    private static final int RING_SIZE = 16;
    private static final long HEADER_OFFSET = 0x8000;
    private static final long STATUS_OFFSET = 0x8100;
    private static final long DATA_OFFSET = 0x10000;
    private static final int DATA_BYTES_MAX = 1 << 20;
    private static final int TIMEOUT_MS = 30_000;

    private final FrontendMemory memory = FrontendMemory.create(0x4000_0000L, DATA_OFFSET + DATA_BYTES_MAX);
    private final DriverVirtqueue queue = DriverVirtqueue.of(memory.hostAddress(), RING_SIZE, 0);
    private final int kick = EventFd.create();
    private final int call = EventFd.create();
    private final VhostUserFrontend frontend;

    BlkDriver(Path socket) throws IOException {
        this(socket, 0);
    }

    /** One that flushes: writes may stay in the host's cache until then. */
    static BlkDriver withFlush(Path socket) throws IOException {
        return new BlkDriver(socket, VIRTIO_BLK_F_FLUSH);
    }

    private BlkDriver(Path socket, long features) throws IOException {
        frontend = VhostUserFrontend.connect(socket.toString());
        long wanted = VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES | features;
        assertThat(frontend.getFeatures() & wanted).isEqualTo(wanted);
        frontend.setProtocolFeatures(
                frontend.getProtocolFeatures() & (ProtocolFeature.REPLY_ACK.mask() | ProtocolFeature.CONFIG.mask()));
        frontend.needReply(true);
        frontend.setOwner();
        assertThat(frontend.setFeatures(wanted)).isTrue();
        assertThat(frontend.setMemTable(memory)).isTrue();
        assertThat(frontend.setVringNum(0, RING_SIZE)).isTrue();
        assertThat(frontend.setVringBase(0, 0)).isTrue();
        assertThat(frontend.setVringAddr(0, queue.descAddress(), queue.availAddress(), queue.usedAddress()))
                .isTrue();
        assertThat(frontend.setVringCall(0, call)).isTrue();
        assertThat(frontend.setVringKick(0, kick)).isTrue();
        assertThat(frontend.setVringEnable(0, true)).isTrue();
    }

    /** The disk's size in sectors, from the configuration space. */
    long capacitySectors() throws IOException {
        return ByteBuffer.wrap(frontend.getConfig(0, 8))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong();
    }

    /** Returns the status byte. */
    int write(long sector, byte[] data) throws IOException {
        HostMemory.copyIn(data, 0, memory.hostAddress() + DATA_OFFSET, data.length);
        return request(T_OUT, sector, data.length);
    }

    /** Returns the data, when the status is OK. */
    byte[] read(long sector, int lengthBytes) throws IOException {
        assertThat(request(T_IN, sector, lengthBytes)).isEqualTo(S_OK);
        byte[] data = new byte[lengthBytes];
        HostMemory.copyOut(memory.hostAddress() + DATA_OFFSET, data, 0, lengthBytes);
        return data;
    }

    /** Returns the status byte of a read. */
    int tryRead(long sector, int lengthBytes) throws IOException {
        return request(T_IN, sector, lengthBytes);
    }

    /** Returns the status byte. */
    int flush() throws IOException {
        return request(T_FLUSH, 0, 0);
    }

    private int request(int type, long sector, int lengthBytes) throws IOException {
        long base = memory.hostAddress();
        HostMemory.putLong(base + HEADER_OFFSET, type);
        HostMemory.putLong(base + HEADER_OFFSET + 8, sector);
        HostMemory.putByte(base + STATUS_OFFSET, (byte) 0xff);
        long[] addresses = {guest(HEADER_OFFSET), guest(DATA_OFFSET), guest(STATUS_OFFSET)};
        int readable = type == T_OUT ? 2 : 1;
        if (type == T_FLUSH) {
            queue.add(new long[] {addresses[0], addresses[2]}, new int[] {16, 1}, 1, 1);
        } else {
            queue.add(addresses, new int[] {16, lengthBytes, 1}, readable, 3 - readable);
        }
        queue.publish();
        if (queue.shouldKick()) {
            EventFd.signal(kick);
        }
        while (!queue.pollUsed()) {
            assertThat(Poll.await(call, Poll.POLLIN, -1, TIMEOUT_MS)).isPositive();
            EventFd.drain(call);
        }
        return HostMemory.getByte(base + STATUS_OFFSET);
    }

    private long guest(long offset) {
        return memory.toGuestAddress(memory.hostAddress() + offset);
    }

    @Override
    public void close() {
        frontend.close();
        memory.close();
        EventFd.close(kick);
        EventFd.close(call);
    }
}
