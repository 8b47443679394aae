// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.RING_EVENT_FLAGS_DESC;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.RING_EVENT_FLAGS_DISABLE;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.VIRTQ_DESC_F_AVAIL;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.VIRTQ_DESC_F_USED;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.BROKEN;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.EMPTY;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.POPPED;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_INDIRECT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_WRITE;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What only a packed ring has; what every ring has is in {@link VirtqueueTest}. */
class PackedVirtqueueTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long REGION = 4 << 20;
    private static final long DATA = GUEST + (2 << 20);
    private static final int SIZE = 5;
    private static final int USED_BOTH = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

    private static final long ALL_FEATURES = VirtioFeature.VIRTIO_F_VERSION_1
            | VirtioFeature.VIRTIO_F_RING_PACKED
            | VirtioFeature.VIRTIO_F_EVENT_IDX
            | VirtioFeature.VIRTIO_F_INDIRECT_DESC;

    private final TestMemory memory = new TestMemory(GUEST, REGION);
    private final Arena arena = Arena.ofConfined();
    private final PackedDriverVirtqueue driver = new PackedDriverVirtqueue(memory.hostAddress(GUEST), SIZE, true);
    private Virtqueue device = newDevice(PackedRingBase.INITIAL.encode());
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private Virtqueue newDevice(int base) {
        return Virtqueue.of(new VirtqueueSetup(
                0,
                SIZE,
                base,
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                ALL_FEATURES,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                null,
                null,
                null));
    }

    private int flagsAt(int position) {
        return (int) (halfAt(position) >>> 48) & 0xffff;
    }

    private int idAt(int position) {
        return (int) (halfAt(position) >>> 32) & 0xffff;
    }

    private long halfAt(int position) {
        return HostMemory.getLong(driver.descAddress() + 16L * position + 8);
    }

    private int add(int readable, int writable) {
        long[] addresses = new long[readable + writable];
        int[] lengths = new int[readable + writable];
        java.util.Arrays.fill(addresses, DATA);
        java.util.Arrays.fill(lengths, 16);
        int id = driver.add(addresses, lengths, readable, writable);
        driver.publish();
        return id;
    }

    private void popAndReturn(int writtenBytes) {
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, writtenBytes);
        device.publishUsed();
    }

    private void assertBroken() {
        assertThat(device.pop(chain)).isEqualTo(BROKEN);
        assertThat(device.brokenReason()).isNotEmpty();
        assertThat(device.pop(chain)).as("broken for ever").isEqualTo(BROKEN);
        assertThat(device.hasAvailable()).isFalse();
    }

    // ---- the bytes of the ring

    @Test
    void shouldMarkUsedWithItsWrapCounterAndSkipTheChain() { // Sections 2.8.1 and 2.8.6
        add(2, 1);
        popAndReturn(7);

        assertThat(flagsAt(0)).isEqualTo(USED_BOTH | VIRTQ_DESC_F_WRITE);
        assertThat((int) halfAt(0)).isEqualTo(7);
        assertThat(flagsAt(1)).as("skipped").isEqualTo(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_NEXT);
        assertThat(driver.pollUsed()).isTrue();

        add(1, 2); // Positions 3, 4 and, in the next lap, 0.
        popAndReturn(16);
        assertThat(flagsAt(3)).isEqualTo(USED_BOTH | VIRTQ_DESC_F_WRITE);
        assertThat(driver.pollUsed()).isTrue();
        add(1, 0); // Position 1 of the second lap, whose counter is 0.
        popAndReturn(0);
        assertThat(flagsAt(1)).isZero();
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.freeCount()).isEqualTo(SIZE);
        assertThat(PackedRingBase.decode(device.base())).isEqualTo(new PackedRingBase(2, false, 2, false));
    }

    @Test
    void shouldSayThatNothingWasWrittenOnlyWithoutRoomForIt() { // Section 2.8.3
        add(1, 1);
        popAndReturn(0);
        assertThat(flagsAt(0)).isEqualTo(USED_BOTH | VIRTQ_DESC_F_WRITE);
        add(1, 0);
        popAndReturn(0);
        assertThat(flagsAt(2)).isEqualTo(USED_BOTH);
    }

    @Test
    void shouldReturnLengthsBeyondTwoGibibytes() {
        add(0, 1);
        popAndReturn(-16);
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedBytes()).isEqualTo(-16);
    }

    @Test
    void shouldTakeTheBufferIdFromTheLastDescriptor() {
        driver.rawAdd(DATA, 16, 77, VIRTQ_DESC_F_NEXT);
        driver.rawAdd(DATA, 16, 0xfffe, VIRTQ_DESC_F_WRITE);
        driver.publish();
        popAndReturn(0);
        assertThat(chain.headIndex()).isEqualTo(0xfffe);
        assertThat(idAt(0)).isEqualTo(0xfffe);
    }

    @Test
    void shouldShowTheFirstOfSeveralUsedDescriptorsLast() {
        DescriptorChain[] chains = new DescriptorChain[3];
        for (int i = 0; i < 3; i++) {
            chains[i] = new DescriptorChain(arena, 1024);
            add(1, 0);
            device.pop(chains[i]);
        }
        for (DescriptorChain each : chains) {
            device.pushUsed(each, 0);
        }
        assertThat(flagsAt(0)).as("held back").isEqualTo(VIRTQ_DESC_F_AVAIL);
        assertThat(flagsAt(1)).isEqualTo(USED_BOTH);
        assertThat(driver.countUsed()).isZero();
        device.publishUsed();
        assertThat(flagsAt(0)).isEqualTo(USED_BOTH);
        assertThat(driver.countUsed()).isEqualTo(3);
    }

    @Test
    void shouldIgnoreAllButTheWriteFlagInATable() { // Section 2.8.7
        long table = memory.hostAddress(DATA);
        int junk = VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT | USED_BOTH;
        PackedDriverVirtqueue.rawDescriptorAt(table, DATA + 512, 16, 4711, junk);
        PackedDriverVirtqueue.rawDescriptorAt(table + 16, DATA + 1024, 8, 4712, junk | VIRTQ_DESC_F_WRITE);
        driver.rawAdd(DATA, 32, 3, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.headIndex()).isEqualTo(3);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(8);
        assertThat(device.pop(chain)).isEqualTo(EMPTY);
    }

    // ---- what no driver may do

    @Test
    void shouldBreakOnIndirectTogetherWithNext() {
        driver.rawAdd(DATA, 16, 0, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnIndirectInAList() { // Section 2.8.19
        driver.rawAdd(DATA, 16, 0, VIRTQ_DESC_F_NEXT);
        driver.rawAdd(DATA, 16, 0, VIRTQ_DESC_F_INDIRECT);
        driver.publish();
        assertBroken();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 8, 17, 16 * 1025, -16})
    void shouldBreakOnIndirectTableOfBadLength(int length) {
        driver.rawAdd(DATA, length, 0, VIRTQ_DESC_F_INDIRECT);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnReadableBehindWritableInTheRing() {
        driver.rawAdd(DATA, 16, 0, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
        driver.rawAdd(DATA, 16, 0, 0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnChainThatGoesRoundTheRing() {
        for (int i = 0; i < SIZE; i++) {
            driver.rawAdd(DATA, i == 0 ? 16 : 0, 0, VIRTQ_DESC_F_NEXT);
        }
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldTakeAChainOfTheWholeRing() {
        assertThat(add(SIZE - 1, 1)).isNotNegative();
        popAndReturn(16);
        assertThat(driver.pollUsed()).isTrue();
        assertThat(PackedRingBase.decode(device.base())).isEqualTo(new PackedRingBase(0, false, 0, false));
    }

    @Test
    void shouldBreakOnChainLongerThanWhatIsFree() {
        add(1, 1);
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        for (int i = 0; i < SIZE - 2; i++) {
            driver.rawAdd(DATA, 16, 0, VIRTQ_DESC_F_NEXT);
        }
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnDescriptorsMadeAvailableWhileTheDeviceHasThem() {
        for (int i = 0; i < SIZE; i++) {
            add(1, 0);
            assertThat(device.pop(chain)).isEqualTo(POPPED);
        }
        assertThat(device.pop(chain)).isEqualTo(EMPTY);
        driver.rawAdd(DATA, 16, 0, 0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldWriteNothingIntoBrokenRing() {
        driver.rawAdd(0, 16, 0, 0);
        driver.publish();
        assertBroken();
        assertThat(driver.returnedCount()).isZero();
    }

    // ---- event suppression: section 2.8.10

    @Test
    void shouldAskForTheKickOfOneDescriptor() {
        add(1, 2);
        popAndReturn(0);
        assertThat(device.requestKicks()).isFalse();
        assertThat(driver.rawDeviceEvent()).isEqualTo(3 | 1 << 15 | RING_EVENT_FLAGS_DESC << 16);
        device.suppressKicks();
        assertThat(driver.rawDeviceEvent()).isEqualTo(RING_EVENT_FLAGS_DISABLE << 16);
        driver.pollUsed();
        add(1, 2);
        popAndReturn(0);
        device.requestKicks();
        assertThat(driver.rawDeviceEvent()).as("the second lap").isEqualTo(1 | RING_EVENT_FLAGS_DESC << 16);
    }

    /** One chain of two descriptors is returned, from position 3 to position 0 of the second lap (wrap counter 0). */
    @ParameterizedTest
    @CsvSource({
        "3, 1, true", // the first of them
        "4, 1, true",
        "0, 0, false", // the next one
        "1, 0, false",
        "4, 0, false", // of the second lap
        "2, 1, false", // before them
        "0, 1, false",
        "5, 1, false", // no such position
        "32767, 1, false",
        "32767, 0, false"
    })
    void shouldNotifyOfTheDescriptorAskedForAndNoOther(int offset, int wrap, boolean expected) {
        driver.suppressInterrupts();
        add(1, 1);
        popAndReturn(0);
        driver.pollUsed();
        add(1, 0);
        driver.rawDriverEvent(0, 0);
        popAndReturn(0); // Signalled: what is counted begins at position 3.
        driver.pollUsed();
        driver.rawDriverEvent(offset | wrap << 15, RING_EVENT_FLAGS_DESC);
        add(1, 1);
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 0);
        assertThat(device.publishUsed()).isEqualTo(expected);
    }

    @ParameterizedTest
    @CsvSource({"0, true", "1, false", "3, true", "4, true", "5, false", "65533, false"})
    void shouldTakeTwoBitsOfTheFlags(int flags, boolean expected) {
        driver.rawDriverEvent(4, flags);
        add(1, 0);
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 0);
        assertThat(device.publishUsed()).isEqualTo(expected);
    }

    // ---- random

    @Test
    void shouldSurviveRandomRings() {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("PackedVirtqueueTest seed " + seed + " (-Dvublk.seed=)");
        Random random = new Random(seed);
        long ring = memory.hostAddress(GUEST);
        int popped = 0;
        int broken = 0;
        for (int round = 0; round < 20_000; round++) {
            driver.reset();
            device = newDevice(PackedRingBase.INITIAL.encode());
            for (int i = 0; i < 100; i++) {
                PackedDriverVirtqueue.rawDescriptorAt(
                        memory.hostAddress(DATA + 16L * i),
                        DATA + random.nextInt(4096),
                        random.nextInt(4096),
                        random.nextInt(1 << 16),
                        random.nextInt(1 << 16));
            }
            for (int step = 0; step < 10; step++) {
                int position = random.nextInt(SIZE);
                long address = random.nextInt(10) == 0 ? random.nextLong() : DATA + 16L * random.nextInt(100);
                int length = random.nextInt(10) == 0 ? random.nextInt() : 16 * random.nextInt(8);
                int marks = random.nextInt(3) == 0 ? random.nextInt(1 << 16) : VIRTQ_DESC_F_AVAIL;
                PackedDriverVirtqueue.rawDescriptorAt(
                        ring + 16L * position, address, length, random.nextInt(1 << 16), marks | random.nextInt(8));
                driver.rawDriverEvent(random.nextInt(1 << 16), random.nextInt(1 << 16));
                int result = device.pop(chain);
                if (result == POPPED) {
                    popped++;
                    checkInsideMemory();
                    device.pushUsed(chain, random.nextInt());
                    if (random.nextBoolean()) {
                        device.publishUsed();
                    }
                } else if (result == BROKEN) {
                    broken++;
                }
            }
            assertThat(PackedRingBase.decode(device.base()).fits(SIZE)).isTrue();
        }
        assertThat(popped).isGreaterThan(1000);
        assertThat(broken).isGreaterThan(1000);
    }

    private void checkInsideMemory() {
        for (int i = 0; i < chain.buffers().count(); i++) {
            long offset = chain.buffers().base(i) - memory.hostAddress(GUEST);
            assertThat(offset).isNotNegative();
            assertThat(offset + chain.buffers().length(i)).isLessThanOrEqualTo(REGION);
        }
    }
}
