// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.MappedMemory;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import dev.vublk.vhostuser.virtqueue.VirtqueueLayout;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a request costs on its way through a ring, driver and device on one thread: {@link #carry} alone, {@link #carryAndParse}
 * with the parser. Beside it one translation of an address. Here, because the parser is at home in this package.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class RingBench {
    private static final int BATCH = 32;
    private static final int RING_SIZE = 128;
    private static final long GUEST_ADDRESS = 0x1_0000_0000L;
    private static final int MEMORY_BYTES = 4 << 20;
    private static final int SLOT_BYTES = 8192;
    private static final int SLOTS_OFFSET = 1 << 20;
    private static final int DATA_OFFSET = 4096;
    private static final int DATA_BYTES = 4096;
    private static final int STATUS_OFFSET = 64;
    private static final int TABLE_OFFSET = 128;
    private static final int HEADER_BYTES = 16;
    private static final int DESCRIPTORS = 3;
    private static final int BUFFERS_MAX = 1024;

    /** How a ring and its requests are laid out. */
    public enum Layout {
        SPLIT_DIRECT,
        SPLIT_INDIRECT,
        PACKED_DIRECT,
        PACKED_INDIRECT;

        boolean isIndirect() {
            return this == SPLIT_INDIRECT || this == PACKED_INDIRECT;
        }

        long features() {
            return VirtioFeature.VIRTIO_F_VERSION_1
                    | VirtioFeature.VIRTIO_F_EVENT_IDX
                    | VirtioFeature.VIRTIO_F_INDIRECT_DESC
                    | (this == PACKED_DIRECT || this == PACKED_INDIRECT ? VirtioFeature.VIRTIO_F_RING_PACKED : 0);
        }
    }

    private static FrontendMemory memory() throws Exception {
        return FrontendMemory.create(GUEST_ADDRESS, MEMORY_BYTES);
    }

    /** A ring in shared memory with {@link #BATCH} reads of 4 KiB prepared, each of three buffers. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls prepare first
    public static class Ring {
        @Param
        Layout layout;

        private FrontendMemory memory;
        private MappedMemory mapped;
        private DriverVirtqueue driver;
        private Virtqueue device;
        private VirtioBlkRequestParser parser;
        private final int[] heads = new int[BATCH];
        private final VirtioBlkRequest[] requests = new VirtioBlkRequest[BATCH];

        @Setup
        public void prepare() throws Exception {
            memory = memory();
            mapped = new MappedMemory();
            mapped.add(memory.description(), memory.fd());
            driver = DriverVirtqueue.of(memory.hostAddress(), RING_SIZE, layout.features());
            GuestMemory snapshot = mapped.snapshot();
            device = Virtqueue.of(new VirtqueueSetup(
                    0,
                    RING_SIZE,
                    driver.base(),
                    snapshot.translateUser(driver.descAddress(), 1),
                    snapshot.translateUser(driver.availAddress(), 1),
                    snapshot.translateUser(driver.usedAddress(), 1),
                    layout.features(),
                    VirtqueueSetup.NO_FD,
                    VirtqueueSetup.NO_FD,
                    VirtqueueSetup.NO_FD,
                    true,
                    snapshot,
                    null,
                    null,
                    null));
            parser = new VirtioBlkRequestParser(
                    new RequestRules(false, new DiskCapacity(1 << 30), 1, 0, 0, 0, 512, false, false, 0));
            driver.suppressInterrupts();
            for (int i = 0; i < BATCH; i++) {
                heads[i] = prepare(SLOTS_OFFSET + (long) i * SLOT_BYTES);
                requests[i] = new VirtioBlkRequest(i, BUFFERS_MAX, 1);
            }
        }

        private int prepare(long slot) {
            HostMemory.putLong(memory.hostAddress() + slot, 0); // VIRTIO_BLK_T_IN
            HostMemory.putLong(memory.hostAddress() + slot + 8, 8);
            long guest = GUEST_ADDRESS + slot;
            long[] addresses = {guest, guest + DATA_OFFSET, guest + STATUS_OFFSET};
            int[] lengths = {HEADER_BYTES, DATA_BYTES, 1};
            if (!layout.isIndirect()) {
                return driver.prepare(addresses, lengths, 1, DESCRIPTORS - 1);
            }
            for (int i = 0; i < DESCRIPTORS; i++) {
                driver.putTableEntry(
                        memory.hostAddress() + slot + TABLE_OFFSET, DESCRIPTORS, i, addresses[i], lengths[i], i > 0);
            }
            return driver.prepareIndirect(guest + TABLE_OFFSET, DESCRIPTORS);
        }

        @TearDown
        public void close() {
            for (VirtioBlkRequest request : requests) {
                request.close();
            }
            mapped.close();
            memory.close();
        }

        private int carry(boolean parse) {
            for (int head : heads) {
                driver.addPrepared(head);
            }
            driver.publish();
            int sum = 0;
            for (VirtioBlkRequest request : requests) {
                if (device.pop(request.chain) != Virtqueue.POPPED) {
                    throw new IllegalStateException("the ring is empty or broken: " + device.brokenReason());
                }
                if (parse) {
                    sum += parser.parse(request);
                }
            }
            for (VirtioBlkRequest request : requests) {
                device.pushUsed(request.chain, DATA_BYTES + 1);
            }
            device.publishUsed();
            for (int i = driver.countUsed(); i > 0; i--) {
                driver.takeUsed();
            }
            return sum;
        }
    }

    /** Added by the driver, taken and returned by the device, taken by the driver. */
    @Benchmark
    @OperationsPerInvocation(BATCH)
    public int carry(Ring ring) {
        return ring.carry(false);
    }

    /** The same, and parsed between. */
    @Benchmark
    @OperationsPerInvocation(BATCH)
    public int carryAndParse(Ring ring) {
        return ring.carry(true);
    }

    /** Guest memory in {@code regions} pieces of which the last is asked for, as a guest's is with memory above 4 GiB. */
    @State(Scope.Thread)
    @SuppressWarnings("NullAway.Init") // JMH calls prepare first
    public static class Regions {
        @Param({"1", "2", "8"})
        int regions;

        private final FrontendMemory[] memories = new FrontendMemory[8];
        private final MappedMemory mapped = new MappedMemory();
        private GuestMemory memory;
        private long address;

        @Setup
        public void prepare() throws Exception {
            for (int i = 0; i < regions; i++) {
                address = GUEST_ADDRESS + (long) i * VirtqueueLayout.DESC_BYTES * MEMORY_BYTES;
                memories[i] = FrontendMemory.create(address, MEMORY_BYTES);
                mapped.add(memories[i].description(), memories[i].fd());
            }
            memory = mapped.snapshot();
        }

        @TearDown
        public void close() {
            mapped.close();
            for (int i = 0; i < regions; i++) {
                memories[i].close();
            }
        }
    }

    /** From a guest address to a checked host address. */
    @Benchmark
    public long translate(Regions state) {
        return state.memory.translate(state.address + DATA_OFFSET, DATA_BYTES);
    }
}
