// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.Virtqueue.BROKEN;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.EMPTY;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.POPPED;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What holds for every kind of ring: the device's side against the driver's, in real memory. */
@ParameterizedClass
@EnumSource
class VirtqueueTest {
    enum Kind {
        SPLIT(0),
        PACKED(VirtioFeature.VIRTIO_F_RING_PACKED);

        final long features;

        Kind(long feature) {
            features = feature | VirtioFeature.VIRTIO_F_VERSION_1;
        }
    }

    private static final long GUEST = 0x1_0000_0000L;
    private static final long REGION = 4 << 20;
    /** Buffers and indirect tables of the tests; the ring itself is at the start. */
    private static final long DATA = GUEST + (2 << 20);

    private static final long EVENT_IDX = VirtioFeature.VIRTIO_F_EVENT_IDX;
    private static final long INDIRECT = VirtioFeature.VIRTIO_F_INDIRECT_DESC;

    @Parameter
    Kind kind;

    private final TestMemory memory = new TestMemory(GUEST, REGION, REGION);
    private final Arena arena = Arena.ofConfined();
    private DriverVirtqueue driver;
    private Virtqueue device;
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);

    @BeforeEach
    void setUp() {
        useQueue(8, EVENT_IDX | INDIRECT);
    }

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private void useQueue(int size, long features) {
        driver = DriverVirtqueue.of(memory.hostAddress(GUEST), size, kind.features | features);
        device = newDevice(size, features, driver.base());
    }

    /** A split ring has a power of two. */
    private int possibleSize(int size) {
        return kind == Kind.SPLIT ? Integer.highestOneBit(size) : size;
    }

    private Virtqueue newDevice(int size, long features, int base) {
        return Virtqueue.of(new VirtqueueSetup(
                0,
                size,
                base,
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                kind.features | features,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                null,
                null,
                null));
    }

    /** A chain of one readable buffer of 16 bytes and one writable of 8. */
    private int addSmallChain() {
        return driver.add(new long[] {DATA, DATA + 64}, new int[] {16, 8}, 1, 1);
    }

    private void assertBroken() {
        assertThat(device.pop(chain)).isEqualTo(BROKEN);
        assertThat(device.isBroken()).isTrue();
        assertThat(device.brokenReason()).isNotEmpty();
        assertThat(device.pop(chain)).as("broken for ever").isEqualTo(BROKEN);
        assertThat(device.hasAvailable()).isFalse();
    }

    @Test
    void shouldFindNothingInFreshRing() {
        assertThat(device.pop(chain)).isEqualTo(EMPTY);
        assertThat(device.hasAvailable()).isFalse();
    }

    @Test
    void shouldNotSeeChainBeforeItIsPublished() {
        addSmallChain();

        assertThat(device.pop(chain)).isEqualTo(EMPTY);
        driver.publish();
        assertThat(device.hasAvailable()).isTrue();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
    }

    @Test
    void shouldTranslateBuffersAndTellDirections() {
        int head = driver.add(new long[] {DATA, DATA + 100, DATA + 200}, new int[] {16, 50, 9}, 2, 1);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);

        assertThat(chain.headIndex()).isEqualTo(head);
        assertThat(chain.readableCount()).isEqualTo(2);
        assertThat(chain.writableCount()).isEqualTo(1);
        assertThat(chain.readableBytes()).isEqualTo(66);
        assertThat(chain.writableBytes()).isEqualTo(9);
        assertThat(chain.buffers().base(1)).isEqualTo(memory.hostAddress(DATA + 100));
        assertThat(chain.buffers().length(1)).isEqualTo(50);
        assertThat(device.pop(chain)).isEqualTo(EMPTY);
    }

    @Test
    void shouldReturnUsedElementsOnlyWhenPublished() {
        DescriptorChain other = new DescriptorChain(arena, 1024);
        int first = addSmallChain();
        int second = addSmallChain();
        driver.publish();
        device.pop(chain);
        device.pop(other);

        device.pushUsed(other, 8);
        device.pushUsed(chain, 3);
        assertThat(device.hasUnpublished()).isTrue();
        assertThat(driver.countUsed()).isZero();
        assertThat(driver.pollUsed()).isFalse();
        device.publishUsed();

        assertThat(driver.countUsed()).isEqualTo(2);
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedId()).isEqualTo(second);
        assertThat(driver.usedBytes()).isEqualTo(8);
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedId()).isEqualTo(first);
        assertThat(driver.usedBytes()).isEqualTo(3);
        assertThat(driver.pollUsed()).isFalse();
        assertThat(device.hasUnpublished()).isFalse();
        assertThat(driver.returnedCount()).isEqualTo(2);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 8, 1000, 1024, 32767, 32768})
    void shouldGoRoundAndRoundTheRing(int sizeWanted) {
        int size = possibleSize(sizeWanted);
        useQueue(size, EVENT_IDX | INDIRECT);
        int rounds = Math.max(70_000, size * 4 + 3); // Past the wrap of 16-bit indexes, and several laps.

        for (int i = 0; i < rounds; i++) {
            int head = driver.add(new long[] {DATA + i % 1000}, new int[] {1 + i % 7}, 0, 1);
            driver.publish();
            assertThat(device.pop(chain)).isEqualTo(POPPED);
            assertThat(chain.headIndex()).isEqualTo(head);
            device.pushUsed(chain, i);
            device.publishUsed();
            assertThat(driver.pollUsed()).isTrue();
            assertThat(driver.usedBytes()).isEqualTo(i);
        }
        assertThat(driver.returnedCount()).isEqualTo(rounds & 0xffff);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 5, 8, 11})
    void shouldGoOnFromBaseOfRingInUse(int chainsBefore) {
        for (int i = 0; i < chainsBefore; i++) {
            completeOne();
        }

        device = newDevice(8, EVENT_IDX | INDIRECT, device.base());
        assertThat(device.pop(chain)).isEqualTo(EMPTY);
        int head = addSmallChain();
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.headIndex()).isEqualTo(head);
        device.pushUsed(chain, 8);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
    }

    @Test
    void shouldSkipEmptyBuffers() {
        driver.add(new long[] {DATA, DATA, DATA}, new int[] {16, 0, 8}, 2, 1);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.readableCount()).isEqualTo(1);
        assertThat(chain.writableCount()).isEqualTo(1);
    }

    @Test
    void shouldSplitBufferThatCrossesRegions() {
        driver.add(new long[] {GUEST + REGION - 10}, new int[] {30}, 1, 0);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);

        assertThat(chain.readableCount()).isEqualTo(2);
        assertThat(chain.buffers().base(0)).isEqualTo(memory.hostAddress(GUEST + REGION - 10));
        assertThat(chain.buffers().length(0)).isEqualTo(10);
        assertThat(chain.buffers().base(1)).isEqualTo(memory.hostAddress(GUEST + REGION));
        assertThat(chain.buffers().length(1)).isEqualTo(20);
    }

    // ---- what no driver may do ----

    @Test
    void shouldBreakOnReadableBehindWritable() {
        driver.putTableEntry(memory.hostAddress(DATA), 2, 0, DATA + 512, 16, true);
        driver.putTableEntry(memory.hostAddress(DATA), 2, 1, DATA + 512, 16, false);
        driver.addIndirect(DATA, 2);
        driver.publish();
        assertBroken();
    }

    @ParameterizedTest
    @ValueSource(
            longs = {0, GUEST - 1, GUEST + 2 * REGION - 15, GUEST + 2 * REGION, Long.MAX_VALUE, Long.MIN_VALUE, -1, -16
            })
    void shouldBreakOnBufferOutsideMemory(long guestAddress) {
        driver.add(new long[] {guestAddress}, new int[] {16}, 1, 0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnBufferLongerThanMemory() {
        driver.add(new long[] {DATA}, new int[] {-1}, 0, 1);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnIndirectWithoutTheFeature() {
        useQueue(8, 0);
        driver.putTableEntry(memory.hostAddress(DATA), 1, 0, DATA + 512, 16, false);
        driver.addIndirect(DATA, 1);
        driver.publish();
        assertBroken();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1025, -1})
    void shouldBreakOnIndirectTableOfBadLength(int entries) {
        driver.addIndirect(DATA, entries);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnIndirectTableOutsideMemory() {
        driver.addIndirect(GUEST + 2 * REGION - 8, 1);
        driver.publish();
        assertBroken();
    }

    // ---- what a driver may do ----

    @Test
    void shouldFollowIndirectTable() {
        driver.putTableEntry(memory.hostAddress(DATA), 2, 0, DATA + 512, 16, false);
        driver.putTableEntry(memory.hostAddress(DATA), 2, 1, DATA + 600, 8, true);
        int head = driver.addIndirect(DATA, 2);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.headIndex()).isEqualTo(head);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(8);
        assertThat(chain.buffers().base(1)).isEqualTo(memory.hostAddress(DATA + 600));
        device.pushUsed(chain, 8);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
        assertThat(driver.usedBytes()).isEqualTo(8);
        assertThat(driver.freeCount()).isEqualTo(8);
    }

    @ParameterizedTest
    @ValueSource(ints = {515, 1024})
    void shouldTakeChainsLongerThanTheQueue(int descriptors) { // Windows drivers build such
        int entries = Math.min(descriptors, kind == Kind.SPLIT ? 1023 : 1024); // The pointer to the table counts there.
        for (int i = 0; i < entries; i++) {
            driver.putTableEntry(memory.hostAddress(DATA), entries, i, DATA + 65536 + 512L * i, 512, i > 0);
        }
        driver.addIndirect(DATA, entries);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.buffers().count()).isEqualTo(entries);
        assertThat(chain.writableBytes()).isEqualTo(512L * (entries - 1));
        assertThat(chain.buffers().base(entries - 1))
                .isEqualTo(memory.hostAddress(DATA + 65536 + 512L * (entries - 1)));
    }

    @Test
    void shouldCarryPreparedChainsAgainAndAgain() {
        int direct = driver.prepare(new long[] {DATA, DATA + 64}, new int[] {16, 8}, 1, 1);
        driver.putTableEntry(memory.hostAddress(DATA), 1, 0, DATA + 512, 16, true);
        int indirect = driver.prepareIndirect(DATA, 1);
        assertThat(driver.freeCount()).isEqualTo(5);
        for (int i = 0; i < 50; i++) {
            driver.addPrepared(direct);
            driver.addPrepared(indirect);
            driver.publish();
            for (int j = 0; j < 2; j++) {
                assertThat(device.pop(chain)).isEqualTo(POPPED);
                assertThat(chain.headIndex()).isEqualTo(j == 0 ? direct : indirect);
                device.pushUsed(chain, 0);
            }
            device.publishUsed();
            assertThat(driver.countUsed()).isEqualTo(2);
            driver.takeUsed();
            driver.takeUsed();
            assertThat(driver.freeCount()).isEqualTo(5);
        }
    }

    // ---- notifications ----

    @Test
    void shouldNotifyUnlessTheDriverSaysNo() {
        useQueue(8, 0);

        assertThat(completeOne()).isTrue();
        driver.suppressInterrupts();
        assertThat(completeOne()).isFalse();
        driver.requestInterrupt();
        assertThat(completeOne()).isTrue();
        driver.endInterrupt();
        assertThat(completeOne()).isFalse();
    }

    @Test
    void shouldNotifyWhenUsedEventIsCrossed() {
        for (int i = 0; i < 20; i++) {
            driver.requestInterrupt();
            assertThat(completeOne()).isTrue();
            assertThat(completeOne()).as("the driver asked for one").isFalse();
            assertThat(completeOne()).isFalse();
        }
    }

    @Test
    void shouldNotForgetWishThatLiesBetweenTwoPublications() {
        for (int round = 0; round < 20; round++) {
            driver.requestInterrupt(); // For the next element: in the middle of the three below.
            for (int i = 0; i < 3; i++) {
                addSmallChain();
                driver.publish();
                assertThat(device.pop(chain)).isEqualTo(POPPED);
                device.pushUsed(chain, 0);
            }
            assertThat(device.publishUsed()).isTrue();
            assertThat(driver.countUsed()).isEqualTo(3);
            for (int i = 0; i < 3; i++) {
                driver.takeUsed();
            }
        }
    }

    @Test
    void shouldNotifyAgainAfterManyUnsignalled() {
        driver.suppressInterrupts();
        for (int i = 0; i < 70_000; i++) {
            completeOne();
            if (i % 1000 == 0) {
                driver.suppressInterrupts();
            }
        }
        driver.requestInterrupt();
        assertThat(completeOne()).isTrue();
    }

    @Test
    void shouldTellWhenNothingIsToBePublished() {
        assertThat(device.publishUsed()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void shouldSuppressAndRequestKicks(boolean eventIdx) {
        useQueue(8, eventIdx ? EVENT_IDX : 0);
        for (int i = 0; i < 20; i++) {
            device.suppressKicks();
            addSmallChain();
            driver.publish();
            assertThat(driver.shouldKick()).isFalse();

            assertThat(device.requestKicks())
                    .as("what came in before is not missed")
                    .isTrue();
            finishOne();
            assertThat(device.requestKicks()).isFalse();
            addSmallChain();
            driver.publish();
            assertThat(driver.shouldKick()).isTrue();
            addSmallChain();
            driver.publish();
            assertThat(driver.shouldKick()).isEqualTo(!eventIdx);
            finishOne();
            finishOne();
        }
    }

    private void finishOne() {
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 0);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
    }

    private boolean completeOne() {
        addSmallChain();
        driver.publish();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(chain, 0);
        boolean notify = device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
        return notify;
    }

    // ---- random ----

    @ParameterizedTest
    @ValueSource(ints = {8, 61, 64})
    void shouldCarryRandomChainsInAnyOrderOfCompletion(int sizeWanted) {
        int size = possibleSize(sizeWanted);
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("VirtqueueTest " + kind + " seed " + seed + " (-Dvublk.seed=)");
        Random random = new Random(seed);
        useQueue(size, EVENT_IDX | INDIRECT);
        Deque<DescriptorChain> freeChains = new ArrayDeque<>();
        for (int i = 0; i < size; i++) {
            freeChains.add(new DescriptorChain(arena, 1024));
        }
        List<DescriptorChain> inFlight = new ArrayList<>();
        int[] expectedBytes = new int[size];
        int tables = 0;
        int completed = 0;
        while (completed < 20_000) {
            int added = 0;
            boolean asleep = device.requestKicks();
            assertThat(asleep).isFalse();
            List<Runnable> checks = new ArrayList<>();
            while (random.nextInt(4) != 0) {
                int readable = random.nextInt(4);
                int writable = random.nextInt(4) + (readable == 0 ? 1 : 0);
                long[] addresses = new long[readable + writable];
                int[] lengths = new int[readable + writable];
                for (int i = 0; i < addresses.length; i++) {
                    addresses[i] = DATA + random.nextInt(1 << 20);
                    lengths[i] = 1 + random.nextInt(5000);
                }
                int head = random.nextInt(3) == 0
                        ? addIndirect(tables++, addresses, lengths, readable)
                        : driver.add(addresses, lengths, readable, writable);
                if (head == DriverVirtqueue.NO_HEAD) {
                    break;
                }
                added++;
                checks.add(() -> {
                    DescriptorChain popped = freeChains.removeFirst();
                    assertThat(device.pop(popped)).isEqualTo(POPPED);
                    assertThat(popped.headIndex()).isEqualTo(head);
                    assertThat(popped.readableCount()).isEqualTo(readable);
                    assertThat(popped.writableCount()).isEqualTo(writable);
                    for (int i = 0; i < addresses.length; i++) {
                        assertThat(popped.buffers().base(i)).isEqualTo(memory.hostAddress(addresses[i]));
                        assertThat(popped.buffers().length(i)).isEqualTo(lengths[i]);
                    }
                    inFlight.add(popped);
                });
            }
            driver.publish();
            assertThat(driver.shouldKick()).isEqualTo(added > 0);
            checks.forEach(Runnable::run);
            assertThat(device.pop(chain)).isEqualTo(EMPTY);

            boolean wanted = random.nextBoolean();
            if (wanted) {
                assertThat(driver.requestInterrupt()).isFalse();
            } else {
                driver.suppressInterrupts();
            }
            int batch = random.nextInt(inFlight.size() + 1);
            for (int i = 0; i < batch; i++) {
                DescriptorChain done = inFlight.remove(/* index */ random.nextInt(inFlight.size()));
                int written = done.writableBytes() == 0 ? 0 : random.nextInt(100_000);
                expectedBytes[done.headIndex()] = written;
                device.pushUsed(done, written);
                freeChains.add(done);
            }
            assertThat(device.publishUsed()).isEqualTo(wanted && batch > 0);
            assertThat(driver.countUsed()).isEqualTo(batch);
            while (driver.pollUsed()) {
                assertThat(driver.usedBytes()).isEqualTo(expectedBytes[driver.usedId()]);
                completed++;
            }
        }
    }

    private int addIndirect(int number, long[] addresses, int[] lengths, int readable) {
        long table = DATA + (1 << 20) + number % 4096 * 128L;
        for (int i = 0; i < addresses.length; i++) {
            driver.putTableEntry(
                    memory.hostAddress(table), addresses.length, i, addresses[i], lengths[i], i >= readable);
        }
        return driver.addIndirect(table, addresses.length);
    }
}
