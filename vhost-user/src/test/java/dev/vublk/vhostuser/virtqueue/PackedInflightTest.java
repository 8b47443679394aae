// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.InflightLayout.DESC_NUM;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.FEATURES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_COUNTER;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.BROKEN;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.EMPTY;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.POPPED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.LongConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** In-flight tracking of a packed ring: what a successor finds, whatever its predecessor or the front end left. */
final class PackedInflightTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long DATA = GUEST + (1 << 16);
    private static final int SIZE = 8;
    private static final long FEATURES_ACKED = VirtioFeature.VIRTIO_F_VERSION_1
            | VirtioFeature.VIRTIO_F_RING_PACKED
            | VirtioFeature.VIRTIO_F_EVENT_IDX
            | VirtioFeature.VIRTIO_F_INDIRECT_DESC;

    // The specification's structures by hand, where the code under test reads several fields as one.
    private static final int FREE_HEAD = 12;
    private static final int OLD_FREE_HEAD = 14;
    private static final int USED_IDX = 16;
    private static final int OLD_USED_IDX = 18;
    private static final int USED_WRAP_COUNTER = 20;
    private static final int OLD_USED_WRAP_COUNTER = 21;
    private static final int DESC = 32;
    private static final int DESC_BYTES = 32;
    private static final int INFLIGHT = 0;
    private static final int NEXT = 2;
    private static final int LAST = 4;
    private static final int NUM = 6;
    private static final int ID = 16;
    private static final int FLAGS = 18;
    private static final int LEN = 20;
    private static final int ADDR = 24;

    private final Arena arena = Arena.ofConfined();
    private final TestMemory memory = new TestMemory(GUEST, 1 << 17);
    private final PackedDriverVirtqueue driver = new PackedDriverVirtqueue(memory.hostAddress(GUEST), SIZE, true);
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);
    private final DescriptorChain second = new DescriptorChain(arena, 1024);
    private long block;

    @BeforeEach
    void setUp() {
        block = newBlock(SIZE);
    }

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private long newBlock(int descCount) {
        return arena.allocate(InflightLayout.strideBytes(descCount, true), InflightLayout.BLOCK_ALIGNMENT)
                .address();
    }

    private Virtqueue newDevice() {
        return newDevice(PackedRingBase.INITIAL, SIZE);
    }

    private Virtqueue newDevice(PackedRingBase told, int descCount) {
        return newDevice(told, new InflightBlock(block, descCount, false, InflightFaults.NONE));
    }

    private Virtqueue newDevice(PackedRingBase told, InflightBlock tracked) {
        return Virtqueue.of(new VirtqueueSetup(
                0,
                SIZE,
                told.encode(),
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                FEATURES_ACKED,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                tracked,
                null,
                null));
    }

    /** A chain of two descriptors. */
    private int add() {
        return driver.add(new long[] {DATA, DATA + 64}, new int[] {16, 8}, 1, 1);
    }

    private int addAndPublish() {
        int id = add();
        driver.publish();
        return id;
    }

    private List<Integer> popAll(Virtqueue device) {
        List<Integer> ids = new ArrayList<>();
        while (device.pop(chain) == POPPED) {
            ids.add(chain.headIndex());
        }
        return ids;
    }

    private void run(Virtqueue device) {
        addAndPublish();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 8);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
    }

    private int region(int field) {
        return HostMemory.getU16(block + field);
    }

    private static long desc(long at, int entry) {
        return at + DESC + (long) DESC_BYTES * entry;
    }

    private int field(int entry, int field) {
        return HostMemory.getU16(desc(block, entry) + field);
    }

    private boolean isMarked(int entry) {
        return HostMemory.getByte(desc(block, entry) + INFLIGHT) != 0;
    }

    // ---- the bytes of the region

    @Test
    void shouldPrepareAFreshBlockWhereTheRingIs() {
        PackedRingBase told = new PackedRingBase(5, false, 5, false);

        assertThat(newDevice(told, SIZE).base()).isEqualTo(told.encode());

        assertThat(region(VERSION)).isEqualTo(1);
        assertThat(region(DESC_NUM)).isEqualTo(SIZE);
        assertThat(region(FREE_HEAD)).isZero();
        assertThat(region(OLD_FREE_HEAD)).isZero();
        assertThat(region(USED_IDX)).isEqualTo(5);
        assertThat(region(OLD_USED_IDX)).isEqualTo(5);
        assertThat(HostMemory.getByte(block + USED_WRAP_COUNTER)).isZero();
        assertThat(HostMemory.getByte(block + OLD_USED_WRAP_COUNTER)).isZero();
        for (int entry = 0; entry < SIZE; entry++) {
            assertThat(field(entry, NEXT)).isEqualTo(entry + 1);
            assertThat(isMarked(entry)).isFalse();
        }
    }

    @Test
    void shouldKeepCopiesOfTheDescriptorsInTheSpecifiedPlaces() {
        Virtqueue device = newDevice();
        addAndPublish();
        int id = addAndPublish();
        popAll(device);

        assertThat(isMarked(2)).isTrue();
        assertThat(field(2, LAST)).isEqualTo(3);
        assertThat(field(2, NUM)).isEqualTo(2);
        assertThat(HostMemory.getLong(desc(block, 2) + PACKED_DESC_COUNTER)).isEqualTo(1);
        assertThat(isMarked(3)).isFalse();
        assertThat(HostMemory.getLong(desc(block, 2) + ADDR)).isEqualTo(DATA);
        assertThat(HostMemory.getInt(desc(block, 2) + LEN)).isEqualTo(16);
        assertThat(field(2, FLAGS) & 3).as("NEXT").isEqualTo(1);
        assertThat(HostMemory.getLong(desc(block, 3) + ADDR)).isEqualTo(DATA + 64);
        assertThat(HostMemory.getInt(desc(block, 3) + LEN)).isEqualTo(8);
        assertThat(field(3, FLAGS) & 3).as("WRITE").isEqualTo(2);
        assertThat(field(3, ID)).isEqualTo(id);
        assertThat(region(FREE_HEAD)).isEqualTo(4);
        assertThat(region(OLD_FREE_HEAD)).isEqualTo(4);
        assertThat(region(USED_IDX)).isZero();
    }

    @Test
    void shouldFreeWhatIsPublishedAndNotBefore() {
        Virtqueue device = newDevice();
        addAndPublish();
        addAndPublish();
        device.pop(chain);
        device.pop(second);

        device.pushUsed(second, 8);
        assertThat(isMarked(2)).as("not before the driver sees it").isTrue();
        device.publishUsed();

        assertThat(isMarked(0)).isTrue();
        assertThat(isMarked(2)).isFalse();
        assertThat(region(FREE_HEAD)).isEqualTo(2);
        assertThat(region(OLD_FREE_HEAD)).isEqualTo(2);
        assertThat(field(2, NEXT)).isEqualTo(3);
        assertThat(field(3, NEXT)).isEqualTo(4);
        assertThat(region(USED_IDX)).isEqualTo(2);
        assertThat(region(OLD_USED_IDX)).isEqualTo(2);
        assertThat(HostMemory.getByte(block + USED_WRAP_COUNTER)).isEqualTo((byte) 1);
    }

    // ---- successors

    @Test
    void shouldKnowWhereTheRingStandsWhateverTheFrontEndSays() {
        Virtqueue device = newDevice();
        for (int i = 0; i < 5; i++) { // Once round the ring and two slots on.
            run(device);
        }
        int base = device.base();
        assertThat(base).isEqualTo(new PackedRingBase(2, false, 2, false).encode());

        assertThat(newDevice().base()).isEqualTo(base);
        run(newDevice());
    }

    @Test
    void shouldBelieveTheFrontEndOfANewRingUnlessSomethingIsInFlight() {
        Virtqueue drained = newDevice();
        run(drained);
        driver.reset();
        InflightBlock tracked = new InflightBlock(block, SIZE, true, InflightFaults.NONE);

        Virtqueue device = newDevice(PackedRingBase.INITIAL, tracked);

        assertThat(device.base()).isEqualTo(PackedRingBase.INITIAL.encode());
        run(device);
        int id = addAndPublish();
        popAll(device);
        assertThat(popAll(newDevice(PackedRingBase.INITIAL, tracked))).containsExactly(id);
    }

    /** The used descriptor of the second chain lies where the first chain was. */
    @Test
    void shouldRunAChainAgainWhoseDescriptorsAreOverwritten() {
        Virtqueue dead = newDevice();
        int first = addAndPublish();
        addAndPublish();
        dead.pop(chain);
        dead.pop(second);
        dead.pushUsed(second, 8);
        dead.publishUsed();
        int third = addAndPublish();

        Virtqueue device = newDevice();

        assertThat(device.hasRecovered()).isTrue();
        assertThat(device.hasAvailable()).isTrue();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.headIndex()).isEqualTo(first);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(8);
        assertThat(chain.buffers().base(0)).isEqualTo(memory.hostAddress(DATA));
        assertThat(device.hasRecovered()).isFalse();
        device.pushUsed(chain, 8);
        device.publishUsed();
        assertThat(popAll(device)).containsExactly(third);
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedId()).isEqualTo(first);
    }

    @Test
    void shouldRunAnIndirectChainAgain() {
        driver.putTableEntry(memory.hostAddress(DATA + 1024), 2, 0, DATA, 16, false);
        driver.putTableEntry(memory.hostAddress(DATA + 1024), 2, 1, DATA + 64, 8, true);
        Virtqueue dead = newDevice();
        int id = driver.addIndirect(DATA + 1024, 2);
        driver.publish();
        assertThat(popAll(dead)).containsExactly(id);

        Virtqueue device = newDevice();

        assertThat(popAll(device)).containsExactly(id);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(8);
    }

    @Test
    void shouldGiveOutWhatWasInFlightInItsOrderBeforeWhatIsNew() {
        Virtqueue dead = newDevice();
        int first = addAndPublish();
        dead.pop(chain);
        int next = addAndPublish();
        dead.pop(second);
        dead.pushUsed(chain, 8);
        dead.publishUsed();
        driver.pollUsed();
        int reused = addAndPublish();
        assertThat(reused).isEqualTo(first);
        assertThat(dead.pop(chain)).isEqualTo(POPPED);
        int fresh = addAndPublish();

        assertThat(popAll(newDevice())).containsExactly(next, reused, fresh);
    }

    @Test
    void shouldCountOnBehindTheCountersOfAPredecessor() {
        Virtqueue dead = newDevice();
        addAndPublish();
        int next = addAndPublish();
        popAll(dead);
        Virtqueue successor = newDevice();
        successor.pop(chain);
        successor.pop(second);
        successor.pushUsed(chain, 8);
        successor.publishUsed();
        driver.pollUsed();
        int third = addAndPublish();
        popAll(successor);

        assertThat(popAll(newDevice())).containsExactly(next, third);
    }

    /** The specification compares the positions alone, which are equal again after a batch of the whole ring. */
    @Test
    void shouldCommitABatchThatWentOnceRoundTheRing() {
        Virtqueue dead = newDevice();
        List<DescriptorChain> chains = new ArrayList<>();
        for (int i = 0; i < SIZE / 2; i++) {
            addAndPublish();
            chains.add(new DescriptorChain(arena, 1024));
            dead.pop(chains.getLast());
        }
        chains.forEach(each -> dead.pushUsed(each, 8));
        dead.publishUsed();
        // As if it had died behind the used descriptors.
        HostMemory.putU16(block + OLD_FREE_HEAD, SIZE);
        HostMemory.putByte(block + OLD_USED_WRAP_COUNTER, (byte) 1);
        for (int entry = 0; entry < SIZE; entry += 2) {
            HostMemory.putByte(desc(block, entry) + INFLIGHT, (byte) 1);
        }

        Virtqueue device = newDevice();

        assertThat(device.hasRecovered()).isFalse();
        assertThat(device.base()).isEqualTo(new PackedRingBase(0, false, 0, false).encode());
        assertThat(isMarked(0)).isFalse();
    }

    /** While the first of a batch is held back the driver sees none of it, and must not after a death either. */
    @Test
    void shouldHideUsedDescriptorsThatNobodySaw() {
        Virtqueue dead = newDevice();
        int first = addAndPublish();
        int next = addAndPublish();
        dead.pop(chain);
        dead.pop(second);
        dead.pushUsed(chain, 8);
        dead.pushUsed(second, 8);

        Virtqueue device = newDevice();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 8);
        device.publishUsed();

        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedId()).isEqualTo(first);
        assertThat(driver.pollUsed())
                .as("the second has not been run again yet")
                .isFalse();
        assertThat(popAll(device)).containsExactly(next);
    }

    // ---- hostile drivers and front ends

    /** A driver that makes descriptors available again before it got them back: its own queue breaks, nothing else. */
    @Test
    void shouldBreakWhenMoreIsTakenThanTheRingHas() {
        Virtqueue device = newDevice();
        for (int i = 0; i < SIZE; i++) {
            driver.rawAdd(DATA, 16, i, 0);
            driver.publish();
            assertThat(device.pop(chain)).isEqualTo(POPPED);
            device.pushUsed(chain, 0);
        }
        driver.rawAdd(DATA, 16, 0, 0);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(BROKEN);
    }

    @Test
    void shouldRefuseAFreshBlockForARingWithRequestsInFlight() {
        assertThat(newDevice(new PackedRingBase(3, true, 1, true), SIZE).brokenReason())
                .contains("no in-flight region tells of");
    }

    /** How a front end may have spoiled a block with two chains in flight, at 0 and 2, and whether that can be told. */
    record Spoiling(String name, boolean told, LongConsumer spoil) {
        @Override
        public String toString() {
            return name;
        }

        static Spoiling told(String name, LongConsumer spoil) {
            return new Spoiling(name, true, spoil);
        }
    }

    static Stream<Spoiling> spoilings() {
        return Stream.of(
                Spoiling.told("another version", at -> HostMemory.putU16(at + VERSION, 2)),
                Spoiling.told("a feature", at -> HostMemory.putLong(at + FEATURES, 1)),
                Spoiling.told("another size", at -> HostMemory.putU16(at + DESC_NUM, SIZE - 1)),
                Spoiling.told("a used index beyond the ring", at -> HostMemory.putU16(at + OLD_USED_IDX, SIZE)),
                Spoiling.told("a new used index beyond the ring", at -> HostMemory.putU16(at + USED_IDX, 0xffff)),
                Spoiling.told("a wrap counter of 2", at -> HostMemory.putByte(at + OLD_USED_WRAP_COUNTER, (byte) 2)),
                Spoiling.told("a free head outside", at -> HostMemory.putU16(at + OLD_FREE_HEAD, SIZE + 1)),
                Spoiling.told("a free head in flight", at -> HostMemory.putU16(at + OLD_FREE_HEAD, 1)),
                Spoiling.told("a free list that goes round", at -> HostMemory.putU16(desc(at, SIZE - 1) + NEXT, 4)),
                Spoiling.told("a free list that points to itself", at -> HostMemory.putU16(desc(at, 5) + NEXT, 5)),
                Spoiling.told("a free list that leads outside", at -> HostMemory.putU16(desc(at, 5) + NEXT, 0xffff)),
                Spoiling.told("a free list that ends early", at -> HostMemory.putU16(desc(at, 5) + NEXT, SIZE)),
                Spoiling.told("no chain", at -> HostMemory.putByte(desc(at, 2) + INFLIGHT, (byte) 0)),
                Spoiling.told("a chain within a chain", at -> HostMemory.putByte(desc(at, 1) + INFLIGHT, (byte) 1)),
                Spoiling.told("a chain of none", at -> HostMemory.putU16(desc(at, 0) + NUM, 0)),
                Spoiling.told("a chain that is too short", at -> HostMemory.putU16(desc(at, 0) + NUM, 1)),
                Spoiling.told("a chain that is too long", at -> HostMemory.putU16(desc(at, 0) + NUM, 3)),
                Spoiling.told("a chain longer than all", at -> HostMemory.putU16(desc(at, 0) + NUM, 0xffff)),
                Spoiling.told("a chain that ends elsewhere", at -> HostMemory.putU16(desc(at, 0) + LAST, 3)),
                Spoiling.told("a chain that goes round", at -> HostMemory.putU16(desc(at, 0) + NEXT, 0)),
                Spoiling.told("a chain that leads into another", at -> HostMemory.putU16(desc(at, 0) + NEXT, 3)),
                Spoiling.told("a chain that leads outside", at -> HostMemory.putU16(desc(at, 0) + NEXT, SIZE)),
                new Spoiling("equal counters", false, at -> {
                    HostMemory.putLong(desc(at, 0) + PACKED_DESC_COUNTER, -1);
                    HostMemory.putLong(desc(at, 2) + PACKED_DESC_COUNTER, -1);
                }),
                new Spoiling("another mark", false, at -> HostMemory.putByte(desc(at, 0) + INFLIGHT, (byte) 0xff)));
    }

    @ParameterizedTest
    @MethodSource("spoilings")
    void shouldOutliveASpoiltBlock(Spoiling spoiling) {
        Virtqueue dead = newDevice();
        addAndPublish();
        addAndPublish();
        popAll(dead);
        spoiling.spoil.accept(block);

        Virtqueue device = newDevice();

        assertThat(device.isBroken()).isEqualTo(spoiling.told);
        assertThat(device.pop(chain)).isEqualTo(spoiling.told ? BROKEN : POPPED);
        assertThat(device.hasRecovered()).isEqualTo(!spoiling.told);
    }

    /** Copies of descriptors that no driver could have made: what holds for the ring holds for them. */
    @Test
    void shouldCheckCopiesAsItChecksDescriptors() {
        Virtqueue dead = newDevice();
        addAndPublish();
        popAll(dead);
        HostMemory.putLong(desc(block, 0) + ADDR, 0x7000_0000_0000L);

        Virtqueue device = newDevice();

        assertThat(device.pop(chain)).isEqualTo(BROKEN);
        assertThat(device.brokenReason()).contains("outside guest memory");
    }

    @Test
    void shouldRefuseAnIndirectCopyWithinAChain() {
        Virtqueue dead = newDevice();
        addAndPublish();
        popAll(dead);
        HostMemory.putU16(desc(block, 1) + FLAGS, VirtqueueLayout.VIRTQ_DESC_F_INDIRECT);

        assertThat(newDevice().pop(chain)).isEqualTo(BROKEN);
    }

    /** What the front end writes into the block while the queue runs is not read. */
    @Test
    void shouldBelieveNothingOfTheBlockWhileItRuns() {
        Virtqueue device = newDevice();
        HostMemory.fill(block, DESC + (long) DESC_BYTES * SIZE, (byte) 0xff);
        for (int i = 0; i < 3 * SIZE; i++) {
            run(device);
        }
        assertThat(device.isBroken()).isFalse();
    }

    @Test
    void shouldHaveRoomForASmallerRing() {
        block = newBlock(3 * SIZE);
        Virtqueue dead = newDevice(PackedRingBase.INITIAL, 3 * SIZE);
        int first = addAndPublish();
        popAll(dead);
        assertThat(popAll(newDevice(PackedRingBase.INITIAL, 3 * SIZE))).containsExactly(first);

        // More than the ring has.
        for (int entry = 0; entry < SIZE + 1; entry++) {
            HostMemory.putLong(desc(block, entry) + INFLIGHT, 1 | (long) entry << 32 | 1L << 48);
        }
        HostMemory.putU16(block + OLD_FREE_HEAD, SIZE + 1);
        assertThat(newDevice(PackedRingBase.INITIAL, 3 * SIZE).brokenReason()).contains("more in flight");
    }

    /** Any bytes at all: the queue breaks, or gives out no more than the ring has, and works on. */
    @Test
    void shouldOutliveRandomBlocks() {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("PackedInflightTest seed " + seed);
        Random random = new Random(seed);
        byte[] bytes = new byte[DESC + SIZE * DESC_BYTES];
        int survived = 0;
        for (int round = 0; round < 5_000; round++) {
            driver.reset();
            HostMemory.fill(block, bytes.length, (byte) 0);
            Virtqueue dead = newDevice();
            for (int i = random.nextInt(SIZE / 2); i > 0; i--) {
                add();
            }
            driver.publish();
            popAll(dead);
            HostMemory.copyOut(block, bytes, 0, bytes.length);
            for (int i = random.nextInt(4); i > 0; i--) {
                int at = random.nextBoolean() ? random.nextInt(12, DESC) : random.nextInt(bytes.length);
                bytes[at] = (byte) random.nextInt(random.nextBoolean() ? SIZE : 256);
            }
            HostMemory.copyIn(bytes, 0, block, bytes.length);
            Virtqueue device = newDevice();
            assertThat(device.base() & 0x7fff).isLessThan(SIZE);
            int taken = 0;
            int popped = device.pop(chain);
            for (; popped == POPPED; popped = device.pop(chain)) {
                taken++;
                device.pushUsed(chain, 0);
            }
            assertThat(taken).isLessThanOrEqualTo(2 * SIZE);
            if (popped == EMPTY) {
                survived++;
                device.publishUsed();
            }
        }
        assertThat(survived).as("blocks that went through").isBetween(100, 4_900);
    }
}
