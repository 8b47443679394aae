// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.Virtqueue.BROKEN;
import static dev.vublk.vhostuser.virtqueue.Virtqueue.POPPED;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_INDIRECT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_WRITE;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What only a split ring has; what every ring has is in {@link VirtqueueTest}. */
class SplitVirtqueueTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long REGION = 4 << 20;
    /** Buffers and indirect tables of the tests; the ring itself is at the start. */
    private static final long DATA = GUEST + (2 << 20);

    private static final long ALL_FEATURES =
            VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VIRTIO_F_EVENT_IDX | VirtioFeature.VIRTIO_F_INDIRECT_DESC;

    private final TestMemory memory = new TestMemory(GUEST, REGION, REGION);
    private final Arena arena = Arena.ofConfined();
    private SplitDriverVirtqueue driver = newDriver(8, true);
    private SplitVirtqueue device = newDevice(8, ALL_FEATURES, 0);
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private SplitDriverVirtqueue newDriver(int size, boolean eventIdx) {
        return new SplitDriverVirtqueue(memory.hostAddress(GUEST), size, eventIdx);
    }

    private SplitVirtqueue newDevice(int size, long features, int base) {
        long ring = memory.hostAddress(GUEST);
        return new SplitVirtqueue(new VirtqueueSetup(
                0,
                size,
                base,
                ring,
                ring + SplitDriverVirtqueue.availOffset(size),
                ring + SplitDriverVirtqueue.usedOffset(size),
                features,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                null,
                null,
                null));
    }

    private void useQueue(int size, long features) {
        driver = newDriver(size, (features & VirtioFeature.VIRTIO_F_EVENT_IDX) != 0);
        device = newDevice(size, features, 0);
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

    // ---- what no driver may do ----

    @Test
    void shouldBreakOnHeadBeyondTable() {
        driver.rawAvailable(8);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnAvailableIndexTooFarAhead() {
        driver.rawAvailIdx(9);
        assertBroken();
    }

    @Test
    void shouldBreakOnAvailableIndexThatWentBack() {
        addSmallChain();
        driver.publish();
        device.pop(chain);
        driver.rawAvailIdx(0);
        assertBroken();
    }

    @Test
    void shouldBreakOnNextBeyondTable() {
        driver.rawDescriptor(0, DATA, 16, VIRTQ_DESC_F_NEXT, 8);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnChainThatLoops() {
        driver.rawDescriptor(0, DATA, 16, VIRTQ_DESC_F_NEXT, 1);
        driver.rawDescriptor(1, DATA, 16, VIRTQ_DESC_F_NEXT, 0);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnEmptyBuffersThatLoop() {
        driver.rawDescriptor(0, DATA, 0, VIRTQ_DESC_F_NEXT, 0);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnReadableBehindWritable() {
        driver.rawDescriptor(0, DATA, 16, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
        driver.rawDescriptor(1, DATA, 16, 0, 0);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnNestedIndirect() {
        SplitDriverVirtqueue.rawDescriptorAt(memory.hostAddress(DATA), DATA, 16, VIRTQ_DESC_F_INDIRECT, 0);
        driver.addIndirect(DATA, 1);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnIndirectTogetherWithNext() {
        driver.rawDescriptor(0, DATA, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 8, 17, 16 * 1025, -16})
    void shouldBreakOnIndirectTableOfBadLength(int length) {
        driver.rawDescriptor(0, DATA, length, VIRTQ_DESC_F_INDIRECT, 0);
        driver.rawAvailable(0);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldBreakOnNextBeyondIndirectTable() {
        SplitDriverVirtqueue.rawDescriptorAt(memory.hostAddress(DATA), DATA + 512, 16, VIRTQ_DESC_F_NEXT, 1);
        driver.addIndirect(DATA, 1);
        driver.publish();
        assertBroken();
    }

    @Test
    void shouldWriteNothingIntoBrokenRing() {
        driver.rawAvailable(77);
        driver.publish();
        assertBroken();
        assertThat(driver.returnedCount()).isZero();
    }

    // ---- what a driver may do ----

    @Test
    void shouldFollowIndirectTable() {
        SplitDriverVirtqueue.rawDescriptorAt(memory.hostAddress(DATA), DATA + 512, 16, VIRTQ_DESC_F_NEXT, 2);
        SplitDriverVirtqueue.rawDescriptorAt(memory.hostAddress(DATA + 32), DATA + 600, 8, VIRTQ_DESC_F_WRITE, 0);
        int head = driver.addIndirect(DATA, 3);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.headIndex()).isEqualTo(head);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(8);
        assertThat(chain.buffers().base(1)).isEqualTo(memory.hostAddress(DATA + 600));
    }

    @Test
    void shouldFollowIndirectTableBehindDirectDescriptors() { // Section 2.7.5.3.2
        driver.rawDescriptor(0, DATA, 16, VIRTQ_DESC_F_NEXT, 1);
        driver.rawDescriptor(1, DATA + 1024, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE, 0);
        SplitDriverVirtqueue.rawDescriptorAt(memory.hostAddress(DATA + 1024), DATA + 2048, 5, VIRTQ_DESC_F_WRITE, 0);
        driver.rawAvailable(0);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.readableBytes()).isEqualTo(16);
        assertThat(chain.writableBytes()).isEqualTo(5);
    }

    @ParameterizedTest
    @ValueSource(ints = {515, 1023})
    void shouldTakeChainsLongerThanTheQueue(int descriptors) { // Windows drivers build such
        long table = memory.hostAddress(DATA);
        for (int i = 0; i < descriptors; i++) {
            boolean last = i == descriptors - 1;
            int flags = (last ? 0 : VIRTQ_DESC_F_NEXT) | (i == 0 ? 0 : VIRTQ_DESC_F_WRITE);
            SplitDriverVirtqueue.rawDescriptorAt(table + 16L * i, DATA + 65536 + 512L * i, 512, flags, i + 1);
        }
        driver.addIndirect(DATA, descriptors);
        driver.publish();

        assertThat(device.pop(chain)).isEqualTo(POPPED);
        assertThat(chain.buffers().count()).isEqualTo(descriptors);
        assertThat(chain.writableBytes()).isEqualTo(512L * (descriptors - 1));
        assertThat(chain.buffers().base(descriptors - 1))
                .isEqualTo(memory.hostAddress(DATA + 65536 + 512L * (descriptors - 1)));
    }

    // ---- notifications ----

    @Test
    void shouldNotifyAgainAfterTheIndexWentRoundUnsignalled() {
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

    private boolean completeOne() {
        int head = addSmallChain();
        driver.publish();
        assertThat(device.pop(chain)).isEqualTo(POPPED);
        device.pushUsed(head, 0);
        boolean notify = device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
        return notify;
    }

    // ---- random ----

    @Test
    void shouldSurviveRandomRings() {
        long seed = System.nanoTime();
        System.out.println("SplitVirtqueueTest seed " + seed);
        Random random = new Random(seed);
        int popped = 0;
        int broken = 0;
        for (int round = 0; round < 20_000; round++) {
            useQueue(8, ALL_FEATURES);
            for (int i = 0; i < 8; i++) {
                long address = random.nextInt(10) == 0 ? random.nextLong() : DATA + 16L * random.nextInt(100);
                int length = random.nextInt(10) == 0 ? random.nextInt() : 16 * random.nextInt(8);
                driver.rawDescriptor(i, address, length, random.nextInt(8), random.nextInt(10));
            }
            for (int i = 0; i < 100; i++) {
                SplitDriverVirtqueue.rawDescriptorAt(
                        memory.hostAddress(DATA + 16L * i),
                        DATA + random.nextInt(4096),
                        random.nextInt(4096),
                        random.nextInt(4),
                        random.nextInt(8));
            }
            for (int i = 0; i < 4; i++) {
                driver.rawAvailable(random.nextInt(9));
            }
            driver.publish();
            for (int i = 0; i < 5; i++) {
                int result = device.pop(chain);
                if (result == POPPED) {
                    popped++;
                    for (int b = 0; b < chain.buffers().count(); b++) {
                        long offset = chain.buffers().base(b) - memory.hostAddress(GUEST);
                        long offset2 = chain.buffers().base(b) - memory.hostAddress(GUEST + REGION);
                        long length = chain.buffers().length(b);
                        boolean inFirst = offset >= 0 && offset + length <= REGION;
                        boolean inSecond = offset2 >= 0 && offset2 + length <= REGION;
                        assertThat(inFirst || inSecond).isTrue();
                    }
                } else if (result == BROKEN) {
                    broken++;
                }
            }
        }
        assertThat(popped).isGreaterThan(1000);
        assertThat(broken).isGreaterThan(1000);
    }
}
