// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a packed queue marks in the dirty log of its own writes: used descriptors, which lie among the driver's, and the
 * device event suppression area. Both are found by where they lie in guest memory.
 */
final class PackedQueueLogTest {
    private static final long GUEST = 0x10_0000;
    private static final long FIRST_PAGE = GUEST / 4096;

    /** 256 descriptors a page, so the ring has two and a half pages; the device area is half a page further on. */
    private static final int SIZE = 640;

    private static final long EVENT_OFFSET = 3 * 4096 + 128;

    private final TestMemory memory = new TestMemory(GUEST, 1 << 20);
    private final Arena arena = Arena.ofShared();
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);
    private final PackedDriverVirtqueue driver = new PackedDriverVirtqueue(memory.hostAddress(GUEST), SIZE, true);
    private FrontendLog seen;
    private DirtyLog pages;
    private Virtqueue device = newDevice(VirtioFeature.VIRTIO_F_EVENT_IDX);

    private Virtqueue newDevice(long eventIdx) {
        return newDevice(eventIdx, false);
    }

    private Virtqueue newDevice(long eventIdx, boolean startNow) {
        return Virtqueue.of(new VirtqueueSetup(
                0,
                SIZE,
                PackedRingBase.INITIAL.encode(),
                driver.descAddress(),
                driver.availAddress(),
                memory.hostAddress(GUEST + EVENT_OFFSET),
                VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VIRTIO_F_RING_PACKED | eventIdx,
                -1,
                -1,
                -1,
                startNow,
                memory.snapshot(),
                null,
                null,
                null));
    }

    @BeforeEach
    void makeLog() throws Exception {
        seen = FrontendLog.create(new LogRegion(4096, 0));
        pages = DirtyLog.map(seen.region(), seen.fd());
    }

    @AfterEach
    void tearDown() {
        pages.close();
        seen.close();
        arena.close();
        memory.close();
    }

    private void logFromNowOn() {
        // log_guest_addr names one area only, and a packed ring is written in two: it is not looked at.
        device.logTo(new QueueLog(pages, QueueLog.UNLOGGED, -1));
    }

    private void serve(int count) {
        for (int i = 0; i < count; i++) {
            driver.add(new long[] {GUEST + 0x8_0000}, new int[] {16}, 1, 0);
            driver.publish();
            assertThat(device.pop(chain)).isEqualTo(Virtqueue.POPPED);
            device.pushUsed(chain, 0);
        }
    }

    private void serveAndPublish(int count) {
        serve(count);
        device.publishUsed();
        for (int i = 0; i < count; i++) {
            assertThat(driver.pollUsed()).isTrue();
        }
    }

    /** Whoever served it before may have been killed between showing a used descriptor and marking its page. */
    @Test
    void shouldMarkAllOfARingThatWasInUseBefore() {
        device = newDevice(VirtioFeature.VIRTIO_F_EVENT_IDX, true);
        logFromNowOn();
        assertThat(seen.pages()).containsExactly(FIRST_PAGE, FIRST_PAGE + 1, FIRST_PAGE + 2, FIRST_PAGE + 3);
        seen.clear();
        logFromNowOn();
        assertThat(seen.pages()).as("once is enough").isEmpty();
    }

    @Test
    void shouldMarkTheFirstUsedDescriptorOnlyOnceItIsWritten() {
        logFromNowOn();
        serve(1);
        assertThat(seen.pages()).as("held back").isEmpty();
        device.publishUsed();
        assertThat(seen.pages()).containsExactly(FIRST_PAGE);
    }

    @Test
    void shouldMarkEveryPageWithUsedDescriptors() {
        logFromNowOn();
        serveAndPublish(SIZE);
        assertThat(seen.pages()).containsExactly(FIRST_PAGE, FIRST_PAGE + 1, FIRST_PAGE + 2);
    }

    @Test
    void shouldMarkOnlyWhatWasWrittenSinceTheLastTime() {
        serveAndPublish(256);
        logFromNowOn();
        serveAndPublish(2);
        assertThat(seen.pages()).containsExactly(FIRST_PAGE + 1);
    }

    @Test
    void shouldMarkBothEndsOfTheRingWhenUsedDescriptorsWrapAround() {
        serveAndPublish(SIZE - 1);
        logFromNowOn();
        serveAndPublish(2);
        assertThat(seen.pages()).containsExactly(FIRST_PAGE, FIRST_PAGE + 2);
    }

    /** A chain of three descriptors gets one used descriptor, where it began; the two behind it are not written. */
    @Test
    void shouldMarkOnlyTheDescriptorThatAChainIsReturnedIn() {
        serveAndPublish(255);
        logFromNowOn();
        long buffer = GUEST + 0x8_0000;
        driver.add(new long[] {buffer, buffer, buffer}, new int[] {16, 16, 16}, 2, 1);
        driver.publish();
        assertThat(device.pop(chain)).isEqualTo(Virtqueue.POPPED);
        device.pushUsed(chain, 16);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
        assertThat(seen.pages()).containsExactly(FIRST_PAGE);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, VirtioFeature.VIRTIO_F_EVENT_IDX})
    void shouldMarkTheDeviceEventArea(long eventIdx) {
        device = newDevice(eventIdx);
        logFromNowOn();
        long area = memory.hostAddress(GUEST + EVENT_OFFSET);
        device.suppressKicks();
        assertThat(HostMemory.getInt(area)).isEqualTo(PackedVirtqueueLayout.RING_EVENT_FLAGS_DISABLE << 16);
        assertThat(seen.pages()).containsExactly(FIRST_PAGE + 3);
        seen.clear();
        device.suppressKicks(); // Nothing is written the second time.
        assertThat(seen.pages()).isEmpty();
        device.requestKicks();
        assertThat(seen.pages()).containsExactly(FIRST_PAGE + 3);
    }

    @Test
    void shouldMarkNothingOfWhatTheDeviceOnlyReads() {
        logFromNowOn();
        driver.add(new long[] {GUEST + 0x8_0000}, new int[] {16}, 1, 0);
        driver.publish();
        driver.requestInterrupt();
        assertThat(device.pop(chain)).isEqualTo(Virtqueue.POPPED);
        assertThat(seen.pages()).isEmpty();
    }

    @Test
    void shouldMarkNothingAnyMoreWhenLoggingEnds() {
        logFromNowOn();
        device.logTo(null);
        serveAndPublish(1);
        device.suppressKicks();
        device.requestKicks();
        assertThat(seen.pages()).isEmpty();
    }
}
