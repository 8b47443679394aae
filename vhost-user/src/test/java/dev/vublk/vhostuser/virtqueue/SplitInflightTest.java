// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.InflightLayout.DESC_NUM;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.FEATURES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_COUNTER;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_INFLIGHT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_NEXT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_LAST_BATCH_HEAD;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_USED_IDX;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.BROKEN;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.EMPTY;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.POPPED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
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

/** In-flight tracking of a split ring: what a successor finds, whatever its predecessor or the front end left. */
final class SplitInflightTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long DATA = GUEST + (1 << 16);
    private static final int SIZE = 8;
    private static final long FEATURES_ACKED =
            VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VIRTIO_F_EVENT_IDX | VirtioFeature.VIRTIO_F_INDIRECT_DESC;

    private final Arena arena = Arena.ofConfined();
    private final TestMemory memory = new TestMemory(GUEST, 1 << 17);
    private final long ring = memory.hostAddress(GUEST);
    private final SplitDriverVirtqueue driver = new SplitDriverVirtqueue(ring, SIZE, true);
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);
    private long block;

    @BeforeEach
    void setUp() {
        block = arena.allocate(InflightLayout.strideBytes(SIZE, false), InflightLayout.BLOCK_ALIGNMENT)
                .address();
    }

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private SplitVirtqueue newDevice() {
        return new SplitVirtqueue(new VirtqueueSetup(
                0,
                SIZE,
                0,
                ring,
                ring + SplitDriverVirtqueue.availOffset(SIZE),
                ring + SplitDriverVirtqueue.usedOffset(SIZE),
                FEATURES_ACKED,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                new InflightBlock(block, SIZE, false, InflightFaults.NONE),
                null,
                null));
    }

    private int add() {
        return driver.add(new long[] {DATA, DATA + 64}, new int[] {16, 8}, 1, 1);
    }

    private int addAndPublish() {
        int head = add();
        driver.publish();
        return head;
    }

    private List<Integer> popAll(SplitVirtqueue device) {
        List<Integer> heads = new ArrayList<>();
        while (device.pop(chain) == POPPED) {
            heads.add(chain.headIndex());
        }
        return heads;
    }

    private int region(int field) {
        return HostMemory.getU16(block + field);
    }

    private long desc(int head) {
        return block + SPLIT_DESC + (long) SPLIT_DESC_BYTES * head;
    }

    private boolean isMarked(int head) {
        return HostMemory.getByte(desc(head) + SPLIT_DESC_INFLIGHT) != 0;
    }

    /** The driver's and the device's indexes, as if so many chains had come and gone. */
    private void startAt(int idx) {
        driver.rawAvailIdx(idx);
        HostMemory.putU16(ring + SplitDriverVirtqueue.usedOffset(SIZE) + VirtqueueLayout.USED_IDX, idx);
        driver.adopt();
    }

    @Test
    void shouldPrepareAFreshBlockWhereTheRingIs() {
        startAt(7);

        assertThat(newDevice().base()).isEqualTo(7);

        assertThat(region(VERSION)).isEqualTo(1);
        assertThat(region(DESC_NUM)).isEqualTo(SIZE);
        assertThat(region(SPLIT_USED_IDX)).isEqualTo(7);
    }

    /** What two other back ends get wrong: they leave 0 in a fresh block, and their successor clears entry 0. */
    @Test
    void shouldNotLoseAChainOfARingThatWasNotAtZero() {
        startAt(7);
        int first = add();
        int second = addAndPublish();
        assertThat(popAll(newDevice())).containsExactly(first, second);

        assertThat(popAll(newDevice())).containsExactly(first, second);
    }

    @Test
    void shouldMarkWhatIsInFlightAndClearWhatIsPublished() {
        SplitVirtqueue device = newDevice();
        int first = add();
        int second = addAndPublish();
        popAll(device);
        assertThat(isMarked(first)).isTrue();
        assertThat(isMarked(second)).isTrue();

        device.pushUsed(second, 8);
        assertThat(isMarked(second)).as("not before the driver sees it").isTrue();
        device.publishUsed();

        assertThat(isMarked(first)).isTrue();
        assertThat(isMarked(second)).isFalse();
        assertThat(region(SPLIT_USED_IDX)).isEqualTo(1);
    }

    @Test
    void shouldGiveOutWhatWasInFlightInItsOrderBeforeWhatIsNew() {
        SplitVirtqueue dead = newDevice();
        int first = add();
        int second = add();
        int third = addAndPublish();
        popAll(dead);
        dead.pushUsed(first, 8);
        dead.publishUsed();
        driver.pollUsed();
        int reused = addAndPublish();
        popAll(dead);
        int fresh = addAndPublish();
        assertThat(reused).as("a low head that was taken last").isLessThan(second);

        SplitVirtqueue device = newDevice();

        assertThat(device.hasRecovered()).isTrue();
        assertThat(device.hasAvailable()).isTrue();
        assertThat(popAll(device)).containsExactly(second, third, reused, fresh);
        assertThat(device.hasRecovered()).isFalse();
        assertThat(device.base()).isEqualTo(5);
    }

    @Test
    void shouldCountOnBehindTheCountersOfAPredecessor() {
        SplitVirtqueue dead = newDevice();
        addAndPublish();
        int second = addAndPublish();
        popAll(dead);
        SplitVirtqueue successor = newDevice();
        popAll(successor);
        successor.pushUsed(0, 8);
        successor.publishUsed();
        driver.pollUsed();
        int third = addAndPublish();
        popAll(successor);

        assertThat(popAll(newDevice())).containsExactly(second, third);
    }

    @Test
    void shouldClearTheWholeLastBatch() {
        SplitVirtqueue dead = newDevice();
        int first = add();
        int unpublished = add();
        int second = add();
        int third = addAndPublish();
        popAll(dead);
        for (int head : new int[] {first, third, second}) {
            dead.pushUsed(head, 8);
        }
        dead.publishUsed();
        // As if it had died before clearing.
        for (int head : new int[] {first, second, third}) {
            HostMemory.putByte(desc(head) + SPLIT_DESC_INFLIGHT, (byte) 1);
        }
        HostMemory.putU16(block + SPLIT_USED_IDX, 0);

        assertThat(popAll(newDevice())).containsExactly(unpublished);

        assertThat(region(SPLIT_USED_IDX)).isEqualTo(3);
        assertThat(isMarked(first)).isFalse();
        assertThat(isMarked(second)).isFalse();
        assertThat(isMarked(third)).isFalse();
    }

    @Test
    void shouldAcceptARingThatBeganAnewWithNothingInFlight() {
        startAt(100);
        SplitVirtqueue drained = newDevice();
        int head = addAndPublish();
        popAll(drained);
        drained.pushUsed(head, 8);
        drained.publishUsed();
        driver.reset();

        SplitVirtqueue device = newDevice();

        assertThat(device.isBroken()).isFalse();
        assertThat(region(SPLIT_USED_IDX)).isZero();
        addAndPublish();
        assertThat(popAll(device)).hasSize(1);
        assertThat(popAll(newDevice())).hasSize(1);
    }

    /** A driver that makes a chain available again before it got it back: its own queue breaks, nothing else. */
    @Test
    void shouldBreakWhenMoreIsUsedAtOnceThanTheRingHas() {
        SplitVirtqueue device = newDevice();
        int head = addAndPublish();
        for (int i = 0; i <= SIZE; i++) {
            assertThat(device.pop(chain)).isEqualTo(POPPED);
            device.pushUsed(head, 0);
            driver.rawAvailable(head);
            driver.publish();
        }

        assertThat(device.pop(chain)).isEqualTo(BROKEN);
    }

    /** How a front end may have spoiled a block with entries 1 and 3 in flight, and whether that can be told. */
    record Spoiling(String name, boolean told, LongConsumer spoil) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Spoiling> spoilings() {
        return Stream.of(
                new Spoiling("another version", true, at -> HostMemory.putU16(at + VERSION, 2)),
                new Spoiling("a feature", true, at -> HostMemory.putLong(at + FEATURES, 1)),
                new Spoiling("another size", true, at -> HostMemory.putU16(at + DESC_NUM, SIZE - 1)),
                new Spoiling("a far used index", true, at -> HostMemory.putU16(at + SPLIT_USED_IDX, 0x8000)),
                new Spoiling("a used index ahead", true, at -> HostMemory.putU16(at + SPLIT_USED_IDX, 1)),
                new Spoiling("a batch outside", true, at -> {
                    HostMemory.putU16(at + SPLIT_USED_IDX, 0xffff);
                    HostMemory.putU16(at + SPLIT_LAST_BATCH_HEAD, SIZE);
                }),
                new Spoiling("a batch that leads outside", true, at -> {
                    HostMemory.putU16(at + SPLIT_USED_IDX, 0xfffe);
                    HostMemory.putU16(at + SPLIT_LAST_BATCH_HEAD, 1);
                    HostMemory.putU16(at + SPLIT_DESC + SPLIT_DESC_BYTES + SPLIT_DESC_NEXT, 0xffff);
                }),
                new Spoiling("a batch that goes round", false, at -> {
                    HostMemory.putU16(at + SPLIT_USED_IDX, 0x10000 - SIZE);
                    HostMemory.putU16(at + SPLIT_LAST_BATCH_HEAD, 1);
                    HostMemory.putU16(at + SPLIT_DESC + SPLIT_DESC_BYTES + SPLIT_DESC_NEXT, 1);
                }),
                new Spoiling("equal counters", false, at -> {
                    HostMemory.putLong(at + SPLIT_DESC + SPLIT_DESC_BYTES + SPLIT_DESC_COUNTER, -1);
                    HostMemory.putLong(at + SPLIT_DESC + 3 * SPLIT_DESC_BYTES + SPLIT_DESC_COUNTER, -1);
                }),
                new Spoiling("everything in flight", false, at -> {
                    for (int i = 0; i < SIZE; i++) {
                        HostMemory.putByte(at + SPLIT_DESC + (long) i * SPLIT_DESC_BYTES, (byte) 0xff);
                    }
                }));
    }

    @ParameterizedTest
    @MethodSource("spoilings")
    void shouldOutliveASpoiltBlock(Spoiling spoiling) {
        HostMemory.putU16(block + VERSION, 1);
        HostMemory.putU16(block + DESC_NUM, SIZE);
        for (int i = 0; i < SIZE / 2; i++) {
            add();
        }
        HostMemory.putByte(desc(1) + SPLIT_DESC_INFLIGHT, (byte) 1);
        HostMemory.putByte(desc(3) + SPLIT_DESC_INFLIGHT, (byte) 1);
        spoiling.spoil.accept(block);

        SplitVirtqueue device = newDevice();

        assertThat(device.isBroken()).isEqualTo(spoiling.told);
        assertThat(device.pop(chain)).isIn(spoiling.told ? List.of(BROKEN) : List.of(POPPED, EMPTY));
    }

    @Test
    void shouldRefuseHeadsBeyondASmallerRing() {
        block = arena.allocate(InflightLayout.strideBytes(2 * SIZE, false), InflightLayout.BLOCK_ALIGNMENT)
                .address();
        HostMemory.putU16(block + VERSION, 1);
        HostMemory.putU16(block + DESC_NUM, 2 * SIZE);
        HostMemory.putByte(desc(SIZE) + SPLIT_DESC_INFLIGHT, (byte) 1);

        SplitInflight inflight =
                new SplitInflight(new InflightBlock(block, 2 * SIZE, false, InflightFaults.NONE), SIZE);

        assertThat(inflight.recover(0)).contains("beyond the descriptor table");
        assertThat(inflight.hasRecovered()).isFalse();
    }

    /** Any bytes at all: the queue breaks, or gives out no more than the ring has, and works on. */
    @Test
    void shouldOutliveRandomBlocks() {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("SplitInflightTest seed " + seed);
        Random random = new Random(seed);
        byte[] bytes = new byte[SPLIT_DESC + SIZE * SPLIT_DESC_BYTES];
        int survived = 0;
        for (int round = 0; round < 5_000; round++) {
            random.nextBytes(bytes);
            HostMemory.copyIn(bytes, 0, block, bytes.length);
            if (random.nextInt(10) > 0) {
                HostMemory.putLong(block + FEATURES, 0);
                HostMemory.putU16(block + VERSION, 1);
                HostMemory.putU16(block + DESC_NUM, SIZE);
                HostMemory.putU16(block + SPLIT_USED_IDX, -random.nextInt(SIZE + 2));
                HostMemory.putU16(block + SPLIT_LAST_BATCH_HEAD, random.nextInt(SIZE + 1));
                for (int i = 0; i < SIZE; i++) {
                    HostMemory.putU16(desc(i) + SPLIT_DESC_NEXT, random.nextInt(SIZE + (random.nextInt(8) + 1) / 8));
                    HostMemory.putByte(desc(i) + SPLIT_DESC_INFLIGHT, (byte) random.nextInt(2));
                }
            }
            driver.reset();
            for (int i = 0; i < SIZE / 2; i++) {
                add();
            }
            driver.publish();
            SplitVirtqueue device = newDevice();
            List<Integer> heads = popAll(device);
            assertThat(heads.size()).isLessThanOrEqualTo(2 * SIZE);
            if (!device.isBroken()) {
                survived++;
                heads.forEach(head -> device.pushUsed(head, 0));
                device.publishUsed();
            }
        }
        assertThat(survived).as("blocks that went through").isGreaterThan(100);
    }
}
