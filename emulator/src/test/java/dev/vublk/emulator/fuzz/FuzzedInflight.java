// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.MappedMemory;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.InflightPoint;
import dev.vublk.vhostuser.virtqueue.InflightRegion;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The lives of one virtqueue on an in-flight region that the front end writes in: each life ends anywhere, also in the middle of a
 * step of the in-flight algorithm, and the next goes on with what it left, after the input has changed any of that, and also while
 * it is being read. The driver is a good one, so that what is found in the region is near to what may be there.
 *
 * <p>Each life is checked: nothing outside of the block is touched, work is bounded, no head is taken a second time while it is in
 * flight from before, and where the region was left alone everything is returned once.
 */
final class FuzzedInflight implements AccessGuard.ReadListener {
    private static final int LIVES_MAX = 6;
    private static final int STEPS_MAX = 120;
    private static final int SIZE_MAX = 16;
    private static final long GUEST_ADDRESS = 0x1000;
    private static final int MEMORY_BYTES = 0x2000;
    private static final int DATA = 0x1000;
    private static final int REGION_BYTES = 4096;

    /** Of a packed ring's block, behind the features; of a split one's it has the first entry, too. */
    private static final int HEADER_BYTES = 16;

    /** Two blocks: what is done to the second must not be seen in the first. */
    private static final int BLOCKS = 2;

    /** No start reads or writes more often; a block has at most 16 entries of 32 bytes, and each is looked at a few times. */
    private static final long ACCESSES_PER_START_MAX = 64L * SIZE_MAX;

    private static final FrontendMemory MEMORY = FuzzedRing.memory(GUEST_ADDRESS, MEMORY_BYTES);
    private static final int REGION_FD = SharedMapping.createMemoryFile("vublk-inflight", REGION_BYTES);
    private static final long REGION = SharedMapping.map(REGION_FD, 0, REGION_BYTES);

    static {
        DescriptorCount.growsOnce();
    }

    private final InputBytes input;
    private final boolean packed;
    private final int size;
    private final long features;
    private final DriverVirtqueue driver;
    private final GuestMemory memory;
    private final InflightDescription description;
    private final List<DescriptorChain> chains = new ArrayList<>();
    private final List<DescriptorChain> taken = new ArrayList<>();
    private final byte[] around = new byte[REGION_BYTES];

    /** Until the input has changed something, everything must be as without it. */
    private boolean isHonest = true;

    private int readsUntilChange;

    /** Steps of the in-flight algorithm that are left to this life; 0: any number. */
    private int stepsToDeath;

    private int outstanding;

    /** The end of a life, without a page of frames. */
    private static final class Death extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Death() {
            super("dead", null, false, false);
        }
    }

    private FuzzedInflight(InputBytes input, GuestMemory memory, Arena arena) {
        this.input = input;
        this.memory = memory;
        int choices = input.u8();
        packed = (choices & 1) != 0;
        size = packed ? 1 + input.choice(SIZE_MAX) : 1 << input.choice(5);
        features = VirtioFeature.VIRTIO_F_VERSION_1
                | VirtioFeature.VIRTIO_F_INDIRECT_DESC
                | ((choices & 2) != 0 ? VirtioFeature.VIRTIO_F_EVENT_IDX : 0)
                | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0);
        HostMemory.fill(MEMORY.hostAddress(), MEMORY_BYTES, (byte) 0);
        HostMemory.fill(REGION, REGION_BYTES, (byte) 0);
        // Where the device sees it: the hooks look at the driver's accesses, too.
        driver = DriverVirtqueue.of(memory.translate(GUEST_ADDRESS, MEMORY_BYTES), size, features);
        description = new InflightDescription(
                InflightRegion.sizeBytes(BLOCKS, SIZE_MAX, packed), 64L * input.choice(4), BLOCKS, SIZE_MAX);
        for (int i = 0; i <= size; i++) {
            chains.add(new DescriptorChain(arena, Virtqueue.chainLengthMax(size)));
        }
    }

    static void run(byte[] bytes) {
        AccessGuard.INSTANCE.begin();
        try (Arena arena = Arena.ofConfined();
                MappedMemory memory =
                        MappedMemory.map(new MemoryTable(List.of(MEMORY.description())), i -> MEMORY.fd())) {
            new FuzzedInflight(new InputBytes(bytes), memory.snapshot(), arena).run();
        } catch (VhostUserProtocolException refused) {
            throw new AssertionError(refused);
        } finally {
            AccessGuard.INSTANCE.end();
        }
    }

    private void run() throws VhostUserProtocolException {
        AccessGuard.INSTANCE.listen(this);
        for (int lives = 0; lives < LIVES_MAX && !input.isEmpty(); lives++) {
            try (InflightRegion region = InflightRegion.map(description, REGION_FD, packed)) {
                live(region);
            } catch (Death expected) {
                checkAround();
            }
            // It dies with whatever it has taken, and the front end has the region.
            chains.addAll(taken);
            taken.clear();
            for (int left = input.choice(6); left > 0; left--) {
                change();
            }
        }
    }

    private void reached(InflightPoint point) {
        if (stepsToDeath > 0 && --stepsToDeath == 0) {
            throw new Death();
        }
    }

    private void change() {
        isHonest = false;
        int blockBytes = (int) description.mmapSizeBytes() / BLOCKS;
        int place = input.u16();
        // Half of the changes are made where heads, indexes and numbers are.
        long at = block() + ((place & 1) == 0 ? 8 + (place >>> 1) % HEADER_BYTES : (place >>> 1) % (blockBytes - 8));
        switch (input.choice(4)) {
            case 0 -> HostMemory.putByte(at, (byte) input.u8());
            case 1 -> HostMemory.putU16(at & -2, input.choice(24)); // An index, possible or just not.
            case 2 -> HostMemory.putU16(at & -2, input.u16());
            default -> HostMemory.putLong(at & -8, input.i64());
        }
    }

    private long block() {
        return REGION + description.mmapOffsetBytes();
    }

    @Override
    public void beforeRead() {
        if (readsUntilChange > 0 && --readsUntilChange == 0) {
            change();
        }
    }

    private void live(InflightRegion region) throws VhostUserProtocolException {
        HostMemory.copyOut(REGION, around, 0, REGION_BYTES);
        stepsToDeath = input.u8();
        long accessesBefore = AccessGuard.INSTANCE.accesses();
        int base = isHonest ? driver.returnedBase() : anyBase();
        Virtqueue queue = Virtqueue.of(new VirtqueueSetup(
                0,
                size,
                base,
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                features,
                -1,
                -1,
                -1,
                true,
                memory,
                region.block(0, size, packed, input.choice(8) == 7 && !isHonest).withFaults(this::reached),
                null,
                null));
        long accesses = AccessGuard.INSTANCE.accesses() - accessesBefore;
        if (accesses > ACCESSES_PER_START_MAX) {
            throw new AssertionError(accesses + " accesses to begin with");
        }
        if (isHonest && queue.isBroken()) {
            throw new AssertionError("refused what a predecessor left: " + queue.brokenReason());
        }
        replay(queue);
        for (int steps = 0; steps < STEPS_MAX && !input.isEmpty(); steps++) {
            int step = input.choice(10);
            if (step == 9) {
                break; // Killed.
            }
            act(queue, step);
            AccessGuard.INSTANCE.check();
        }
        checkAround();
    }

    private int anyBase() throws VhostUserProtocolException {
        if (!packed) {
            return input.u16();
        }
        PackedRingBase base = PackedRingBase.decode(input.i32());
        return base.fits(size) ? base.encode() : PackedRingBase.INITIAL.encode();
    }

    /** Everything that the region says is in flight is taken, each once, and not more than the ring has room for. */
    private void replay(Virtqueue queue) {
        Set<Integer> heads = new HashSet<>();
        while (queue.hasRecovered() && taken.size() < size) {
            DescriptorChain chain = pop(queue);
            if (chain == null) {
                return;
            }
            if (!packed && !heads.add(chain.headIndex())) {
                throw new AssertionError("head " + chain.headIndex() + " was in flight twice");
            }
        }
        if (queue.hasRecovered()) {
            throw new AssertionError("more is in flight than the ring has descriptors");
        }
        if (isHonest && taken.size() > outstanding) {
            throw new AssertionError(taken.size() + " in flight of " + outstanding);
        }
    }

    /** Null when nothing was taken. */
    private @Nullable DescriptorChain pop(Virtqueue queue) {
        DescriptorChain chain = chains.getLast();
        int result = queue.pop(chain);
        if (result == Virtqueue.BROKEN && isHonest) {
            throw new AssertionError("broken by a good driver: " + queue.brokenReason());
        }
        if (result != Virtqueue.POPPED) {
            return null;
        }
        chains.removeLast();
        taken.add(chain);
        return chain;
    }

    private void act(Virtqueue queue, int step) {
        switch (step) {
            case 0, 1 -> offer();
            case 2, 3 -> {
                if (taken.size() < size) {
                    pop(queue);
                }
            }
            case 4, 5 -> {
                if (!taken.isEmpty() && !queue.isBroken()) {
                    DescriptorChain chain = taken.remove(input.choice(taken.size()));
                    chains.add(chain); // Before: this may be the end.
                    queue.pushUsed(chain, 0);
                }
            }
            case 6 -> {
                if (!queue.isBroken()) {
                    queue.publishUsed();
                }
            }
            case 7 -> takeUsed();
            default -> readsUntilChange = isHonest ? 0 : 1 + input.u8();
        }
    }

    private void offer() {
        long data = GUEST_ADDRESS + DATA;
        int count = 1 + input.choice(3);
        if (driver.freeCount() >= count) {
            long[] addresses = new long[count];
            int[] lengths = new int[count];
            Arrays.fill(addresses, data);
            Arrays.fill(lengths, 16);
            driver.add(addresses, lengths, count, 0);
            driver.publish();
            outstanding++;
        }
    }

    /** A driver is told of what it has asked for, once. */
    private void takeUsed() {
        try {
            while (driver.pollUsed()) {
                outstanding--;
            }
        } catch (IllegalStateException e) {
            if (isHonest) {
                throw new AssertionError(e);
            }
        }
    }

    /** What lies beside the block is as it was. */
    private void checkAround() {
        byte[] now = new byte[REGION_BYTES];
        HostMemory.copyOut(REGION, now, 0, REGION_BYTES);
        int from = (int) description.mmapOffsetBytes();
        int to = from + (int) description.mmapSizeBytes() / BLOCKS;
        Arrays.fill(now, from, to, (byte) 0);
        Arrays.fill(around, from, to, (byte) 0);
        int at = Arrays.mismatch(now, around);
        if (at >= 0) {
            throw new AssertionError("the region was written at " + at + ", outside of the block");
        }
    }
}
