// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import static dev.vublk.vhostuser.protocol.FrontendRequest.*;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringFd;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.protocol.Wire;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One connection from its first byte to its end, as one input wants it; everything but the loops and the disk is real. */
final class FuzzedSession {
    /** Inputs are short; this bounds what a long one can ask for. */
    private static final int STEPS_MAX = 400;

    private static final long SILENT = -1;

    private static final FrontendRequest[] REQUESTS = FrontendRequest.values();

    private static final GuestFiles FILES = new GuestFiles();

    static {
        DescriptorCount.growsOnce();
    }

    private final InputBytes input;
    private final FuzzedBackEnd backEnd;
    private final HostileFrontend frontend;
    private final HostileDriver[] drivers = new HostileDriver[FuzzedBackEnd.QUEUES];
    private final boolean packed;
    /** Whether the guest may have an IOMMU. */
    private final boolean translates;

    /** What the front end acknowledges the back end's messages with; {@link #SILENT}: with nothing. */
    private long answer;

    private int readsUntilChange;
    private int changedAt;
    private byte[] change = new byte[0];

    private FuzzedSession(byte[] bytes) {
        input = new InputBytes(bytes);
        FILES.reset();
        FuzzDisk.reset();
        AccessGuard.INSTANCE.begin();
        AccessGuard.INSTANCE.listen(this::changeWhileRead);
        int choices = input.u8();
        packed = (choices & 4) != 0;
        translates = (choices & 64) != 0;
        if ((choices & 32) != 0) {
            FILES.fillBackendRequests();
            answer = SILENT;
        }
        int[] pair = new int[2];
        if (UnixSocket.pair(pair) < 0) {
            throw new AssertionError("no socket pair: descriptors have leaked");
        }
        backEnd = new FuzzedBackEnd(
                Disks.open(choices & 3), (choices & 8) != 0, (choices & 16) != 0 ? 1 : 1000, translates, pair[0]);
        frontend = new HostileFrontend(backEnd, pair[1]);
        for (int i = 0; i < drivers.length; i++) {
            drivers[i] = new HostileDriver(FILES, i);
        }
    }

    /** Any messages, with all that may happen between them. */
    static void runMessages(byte[] bytes) {
        new FuzzedSession(bytes).run(false);
    }

    /** Rings are set up as they should be; what is in them is not. */
    static void runRequests(byte[] bytes) {
        new FuzzedSession(bytes).run(true);
    }

    private void run(boolean wellBehaved) {
        InternalFaults faults = InternalFaults.watch();
        Throwable failure = null;
        try {
            if (wellBehaved) {
                negotiate(-1L);
                setMemory();
                if (translates) {
                    frontend.send(SET_BACKEND_REQ_FD, Wire.empty(), FILES.backendRequestFd);
                    tellTranslations();
                }
                startRing(0, 0);
                startRing(1, 0);
            }
            takeSteps(wellBehaved);
            frontend.checkAnswered();
        } catch (Throwable t) {
            failure = t;
            throw t;
        } finally {
            end(failure);
        }
        faults.check();
    }

    private void takeSteps(boolean wellBehaved) {
        for (int steps = 0; steps < STEPS_MAX && !input.isEmpty() && backEnd.isServing(); steps++) {
            int step = input.u8();
            if (wellBehaved || (step & 1) == 0) {
                requestStep(step >>> 1);
            } else {
                messageStep(step >>> 1);
            }
            if (translates && answer != SILENT) {
                FILES.answerBackendRequests(answer);
            }
            AccessGuard.INSTANCE.check();
        }
    }

    /** Hangs up and looks what is left; what failed before is the first to be told. */
    private void end(@Nullable Throwable failure) {
        try {
            frontend.close();
            backEnd.awaitEnd();
            backEnd.close();
            AccessGuard.INSTANCE.end();
        } catch (AssertionError e) {
            if (failure == null) {
                throw e;
            }
            failure.addSuppressed(e);
        }
    }

    // ---- what a guest does

    private void requestStep(int step) {
        HostileDriver driver = drivers[input.choice(drivers.length)];
        switch (step % 12) {
            case 0, 1, 2 -> driver.addRequest(input);
            case 3 -> driver.addDescriptors(input);
            case 4, 5 -> {
                EventFd.signal(FILES.kickFd);
                backEnd.settle(1 + input.choice(40));
            }
            case 6 -> driver.poke(input);
            case 7 -> armChange();
            case 8 -> backEnd.disk().complete(input.u8(), input.flag() ? input.u8() & 127 : 0);
            case 9 -> backEnd.disk().delays(input.flag());
            case 10 -> backEnd.settle(1 + input.choice(20));
            default -> accessConfig();
        }
    }

    /** After so many more reads by the device, the guest changes what lies there. */
    private void armChange() {
        readsUntilChange = 1 + input.u8();
        changedAt = input.u16() % (GuestFiles.MEMORY_BYTES - 16);
        change = input.take(1 + (input.u8() & 15));
    }

    private void changeWhileRead() {
        if (readsUntilChange > 0 && --readsUntilChange == 0) {
            HostMemory.copyIn(change, 0, FILES.main.hostAddress() + changedAt, change.length);
        }
    }

    private void accessConfig() {
        int size = input.u8();
        ByteBuffer payload = Wire.allocate(ConfigSpaceAccess.HEADER_SIZE_BYTES + size);
        boolean writes = input.flag();
        int offset = writes ? 30 + input.choice(6) : input.u16() % 300;
        new ConfigSpaceAccess(offset, input.flag() ? size : input.u8(), input.choice(4)).encode(payload);
        if (writes && payload.hasRemaining()) {
            payload.put((byte) input.choice(3));
        }
        frontend.send(writes ? SET_CONFIG : GET_CONFIG, payload.clear());
        backEnd.settle(10);
        frontend.receive();
    }

    // ---- what a front end does

    private void messageStep(int step) {
        switch (step % 12) {
            case 0 -> startRing(input.choice(drivers.length), input.u8());
            case 1 -> negotiate(input.i64());
            case 2 -> setMemory();
            case 3 -> {
                FILES.shrink(input.u16());
                backEnd.settle(2);
            }
            case 4 -> {
                frontend.sendStray(input.take(input.u8() & 63));
                backEnd.settle(4);
            }
            case 5 -> anyMessage();
            case 6 -> {
                FrontendRequest request = REQUESTS[input.choice(REQUESTS.length)];
                ByteBuffer payload = Wire.wrap(input.take(request.payloadSizeBytesMin()));
                frontend.send(request, payload, someFds(request.fdCountMin()));
            }
            case 11 -> {
                if (translates) {
                    iotlbMessage();
                } else {
                    likelyMessage();
                }
            }
            default -> likelyMessage();
        }
        if (input.choice(4) != 0) {
            backEnd.settle(8);
            frontend.receive();
        }
    }

    private void anyMessage() {
        byte[] payload = input.take(input.u8());
        int size = input.choice(32) == 0 ? input.i32() : payload.length;
        int flags = input.choice(8) == 0 ? input.u8() : MessageHeader.VERSION | MessageHeader.FLAG_NEED_REPLY;
        frontend.send(input.u8(), flags, size, Wire.wrap(payload), someFds(input.u8() & 3));
    }

    private int[] someFds(int count) {
        int[] fds = new int[count];
        for (int i = 0; i < count; i++) {
            int inflight = frontend.inflightFd();
            int which = input.u8();
            fds[i] = (which & 0x80) != 0 && inflight >= 0 ? inflight : FILES.fd(which & 0x7f);
        }
        return fds;
    }

    private void negotiate(long wanted) {
        frontend.send(GET_PROTOCOL_FEATURES, Wire.empty());
        backEnd.settle(20);
        long protocol = wanted == -1L ? frontend.takeU64() : wanted >>> 40;
        if ((wanted & 0x20_0000_0000L) == 0) {
            protocol &= frontend.takeU64(); // Otherwise all of them are refused, if there is one that was not offered.
        }
        // Without PROTOCOL_FEATURES most messages are refused: an input has to want that.
        frontend.send(SET_PROTOCOL_FEATURES, Wire.u64(protocol));
        long features = (wanted & 0xffff_ffffL)
                | VirtioFeature.VIRTIO_F_VERSION_1
                | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0)
                | ((wanted & 0x80_0000_0000L) != 0 ? VirtioFeature.VIRTIO_F_IN_ORDER : 0)
                | ((wanted & 0x40_0000_0000L) != 0 ? VirtioFeature.VIRTIO_F_ACCESS_PLATFORM : 0);
        if (wanted == -1L) {
            // All that are offered, but for LOG_ALL; in order or not.
            features = offered() & ~VirtioFeature.VHOST_F_LOG_ALL;
            features &= packed ? -1L : ~VirtioFeature.VIRTIO_F_RING_PACKED;
            int choices = input.u8();
            features &= (choices & 1) != 0 ? -1L : ~VirtioFeature.VIRTIO_F_IN_ORDER;
            features &= (choices & 2) != 0 ? ~VirtioFeature.VIRTIO_F_EVENT_IDX : -1L;
            features &= (choices & 4) != 0 ? ~VirtioFeature.VIRTIO_F_INDIRECT_DESC : -1L;
            features &= (choices & 8) != 0 ? ~(0xffL << 10) : -1L;
        }
        frontend.send(SET_FEATURES, Wire.u64(features));
        backEnd.settle(20);
        frontend.receive();
    }

    private long offered() {
        frontend.send(GET_FEATURES, Wire.empty());
        backEnd.settle(20);
        return frontend.takeU64();
    }

    private void setMemory() {
        MemoryTable table = new MemoryTable(
                List.of(FILES.main.description(), FILES.other.description(), FILES.shrinking.description()));
        frontend.send(SET_MEM_TABLE, table.encode(), FILES.main.fd(), FILES.other.fd(), FILES.shrinking.fd());
        backEnd.settle(20);
        frontend.receive();
    }

    /** All of the guest's memory, under its own addresses and, for the rings, under the front end's. */
    private void tellTranslations() {
        for (int i = 0; i < 3; i++) {
            MemoryRegionDescription region = FILES.memory(i).description();
            tell(region.guestAddress(), region.sizeBytes(), region.userAddress(), IotlbMessage.RW, IotlbMessage.UPDATE);
            tell(region.userAddress(), region.sizeBytes(), region.userAddress(), IotlbMessage.RW, IotlbMessage.UPDATE);
        }
        backEnd.settle(20);
        frontend.receive();
    }

    private void tell(long iova, long sizeBytes, long userAddress, int permission, int type) {
        frontend.send(IOTLB_MSG, new IotlbMessage(iova, sizeBytes, userAddress, permission, type).encode());
    }

    private void iotlbMessage() {
        switch (input.choice(8)) {
            case 0, 1 -> tellTranslations();
            case 2, 3 ->
                tell(
                        iova(),
                        iotlbSize(),
                        FILES.memory(input.u8()).hostAddress() + (input.u16() & -4096L),
                        input.choice(4),
                        IotlbMessage.UPDATE);
            case 4, 5 -> tell(iova(), iotlbSize(), 0, 0, IotlbMessage.INVALIDATE);
            case 6 -> answer = input.choice(3) - 1L;
            default -> tell(input.i64(), input.i64(), input.i64(), input.u8(), input.u8());
        }
    }

    private long iova() {
        FrontendMemory memory = FILES.memory(input.u8());
        int kind = input.choice(8);
        return kind == 0
                ? input.i64()
                : (kind < 4 ? memory.hostAddress() : memory.guestAddress()) + (input.u16() & -4096L);
    }

    private long iotlbSize() {
        int kind = input.choice(8);
        return kind == 0 ? input.i64() : kind == 1 ? 0 : 4096L << (kind & 3);
    }

    private void startRing(int index, int shape) {
        HostileDriver driver = drivers[index];
        driver.begin(packed);
        frontend.send(SET_VRING_NUM, new VringState(index, HostileDriver.SIZE).encode());
        int base = (shape & 1) != 0 ? input.i32() : packed ? 0x8000_8000 : 0;
        frontend.send(SET_VRING_BASE, new VringState(index, base).encode());
        frontend.send(
                SET_VRING_ADDR,
                new VringAddress(
                                index,
                                (shape & 2) != 0 ? VringAddress.VHOST_VRING_F_LOG : 0,
                                driver.address(0),
                                driver.address(HostileDriver.DEVICE_AREA),
                                driver.address(HostileDriver.DRIVER_AREA),
                                (shape & 2) != 0 ? input.i64() : 0)
                        .encode());
        frontend.send(SET_VRING_CALL, new VringFd(index, true).encode(), FILES.callFd);
        boolean kicks = (shape & 4) == 0;
        frontend.send(
                SET_VRING_KICK,
                new VringFd(index, kicks).encode(),
                kicks ? new int[] {(shape & 8) != 0 ? FILES.fd(input.u8()) : FILES.kickFd} : new int[0]);
        frontend.send(SET_VRING_ENABLE, new VringState(index, 1).encode());
        backEnd.settle(30);
        frontend.receive();
    }

    private void likelyMessage() {
        int index = input.choice(16) == 0 ? input.i32() : input.choice(drivers.length);
        switch (input.choice(20)) {
            case 0 -> frontend.send(SET_VRING_NUM, new VringState(index, input.u16()).encode());
            case 1 -> frontend.send(SET_VRING_BASE, new VringState(index, input.i32()).encode());
            case 2 ->
                frontend.send(
                        SET_VRING_ADDR,
                        new VringAddress(index, input.u8() & 1, ringPart(16), ringPart(4), ringPart(2), input.i64())
                                .encode());
            case 3 -> frontend.send(GET_VRING_BASE, new VringState(index, 0).encode());
            case 4 -> ringFd(SET_VRING_KICK, index);
            case 5 -> ringFd(SET_VRING_CALL, index);
            case 6 -> ringFd(SET_VRING_ERR, index);
            case 7 -> frontend.send(SET_VRING_ENABLE, new VringState(index, input.choice(3)).encode());
            case 8 -> memoryTable();
            case 9 -> region(ADD_MEM_REG, 1);
            case 10 -> region(REM_MEM_REG, input.u8() & 1);
            case 11 ->
                frontend.send(
                        SET_LOG_BASE,
                        new LogRegion(input.flag() ? 16 : input.i64(), input.flag() ? 0 : input.i64()).encode(),
                        input.flag() ? FILES.logFd : FILES.fd(input.u8()));
            case 12 -> frontend.send(SET_LOG_FD, Wire.empty(), FILES.fd(input.u8()));
            case 13 ->
                frontend.send(
                        GET_INFLIGHT_FD,
                        new InflightDescription(0, 0, input.choice(5), input.flag() ? HostileDriver.SIZE : input.u16())
                                .encode(InflightDescription.PADDED_SIZE_BYTES));
            case 14 -> setInflight();
            case 15 ->
                frontend.send(
                        SET_FEATURES,
                        Wire.u64(VirtioFeature.VIRTIO_F_VERSION_1
                                | 1L << input.choice(64)
                                | (input.flag() ? VirtioFeature.VHOST_F_LOG_ALL : 0)
                                | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0)
                                | VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES));
            case 16 -> frontend.send(SET_BACKEND_REQ_FD, Wire.empty(), FILES.fd(input.u8()));
            case 17 ->
                frontend.send(
                        SET_DEVICE_STATE_FD,
                        Wire.allocate(8)
                                .putInt(input.choice(3))
                                .putInt(input.choice(2))
                                .flip(),
                        FILES.fd(input.u8()));
            case 18 -> frontend.send(SET_STATUS, Wire.u64(input.u8()));
            default ->
                frontend.send(
                        new FrontendRequest[] {
                                    RESET_DEVICE,
                                    RESET_OWNER,
                                    GET_STATUS,
                                    CHECK_DEVICE_STATE,
                                    GET_QUEUE_NUM,
                                    GET_MAX_MEM_SLOTS
                                }
                                [input.choice(6)],
                        Wire.empty());
        }
    }

    /** A place in memory, mostly aligned as it must be. */
    private long ringPart(int alignment) {
        FrontendMemory memory = FILES.memory(input.choice(8));
        int at = input.u16();
        int kind = input.choice(8);
        return memory.hostAddress() + (kind == 0 ? input.i64() : kind == 1 ? at : at & -alignment);
    }

    private void ringFd(FrontendRequest request, int index) {
        boolean hasFd = input.choice(4) != 0;
        frontend.send(request, new VringFd(index, hasFd).encode(), hasFd ? someFds(1) : new int[0]);
    }

    private void memoryTable() {
        int count = input.choice(4);
        List<MemoryRegionDescription> regions = new ArrayList<>();
        int[] fds = new int[count];
        for (int i = 0; i < count; i++) {
            int which = input.u8();
            regions.add(description(which));
            fds[i] = FILES.memory(which).fd();
        }
        frontend.send(SET_MEM_TABLE, new MemoryTable(regions).encode(), fds);
    }

    /** Honest, or wrong in one of its numbers. */
    private MemoryRegionDescription description(int which) {
        MemoryRegionDescription honest = FILES.memory(which).description();
        long skew = (which & 0x20) != 0 ? input.i64() : (byte) input.u8();
        return switch (which >>> 6) {
            case 1 ->
                new MemoryRegionDescription(
                        honest.guestAddress() + skew,
                        honest.sizeBytes(),
                        honest.userAddress(),
                        honest.mmapOffsetBytes());
            case 2 ->
                new MemoryRegionDescription(
                        honest.guestAddress(),
                        honest.sizeBytes() + skew,
                        honest.userAddress(),
                        honest.mmapOffsetBytes());
            case 3 ->
                new MemoryRegionDescription(
                        honest.guestAddress(),
                        honest.sizeBytes() - Math.abs(skew),
                        honest.userAddress() + skew,
                        honest.mmapOffsetBytes() + skew);
            default -> honest;
        };
    }

    private void region(FrontendRequest request, int fdCount) {
        int which = input.u8();
        frontend.send(
                request,
                description(which).encodePadded(),
                fdCount == 1 ? new int[] {FILES.memory(which).fd()} : new int[0]);
    }

    private void setInflight() {
        int inflight = frontend.inflightFd();
        int fd = inflight >= 0 && input.choice(4) != 0 ? inflight : FILES.fd(input.u8());
        long size = input.flag() ? 8192 : input.u16();
        frontend.send(
                SET_INFLIGHT_FD,
                new InflightDescription(
                                size,
                                input.flag() ? 0 : input.u16(),
                                input.choice(5),
                                input.flag() ? HostileDriver.SIZE : input.u8())
                        .encode(InflightDescription.PADDED_SIZE_BYTES),
                fd);
    }
}
