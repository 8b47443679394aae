// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.memory.TestMemory;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a split queue marks in the dirty log of its own writes to the used ring; {@link PackedQueueLogTest} is its sibling. */
final class QueueLogTest {
    private static final long GUEST = 0x10_0000;
    private static final int SIZE = 1024;

    /**
     * Where the used ring is said to be: so that its flags and index end a page, elements 0 to 511 are the next one, 512 to
     * 1023 the one behind it, and avail_event begins a fourth.
     */
    private static final long USED_GUEST_ADDRESS = 0x20_0000 - 4;

    private static final long INDEX_PAGE = 0x1ff;
    private static final long FIRST_HALF = 0x200;
    private static final long SECOND_HALF = 0x201;
    private static final long EVENT_PAGE = 0x202;

    private final TestMemory memory = new TestMemory(GUEST, 1 << 20);
    private final Arena arena = Arena.ofShared();
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);
    private FrontendLog seen;
    private DirtyLog pages;
    private SplitDriverVirtqueue driver = new SplitDriverVirtqueue(memory.hostAddress(GUEST), SIZE, true);
    private SplitVirtqueue device = newDevice(true);

    private SplitVirtqueue newDevice(boolean eventIdx) {
        return newDevice(eventIdx, false);
    }

    private SplitVirtqueue newDevice(boolean eventIdx, boolean startNow) {
        driver = new SplitDriverVirtqueue(memory.hostAddress(GUEST), SIZE, eventIdx);
        long ring = memory.hostAddress(GUEST);
        return new SplitVirtqueue(new VirtqueueSetup(
                0,
                SIZE,
                0,
                ring,
                ring + SplitDriverVirtqueue.availOffset(SIZE),
                ring + SplitDriverVirtqueue.usedOffset(SIZE),
                eventIdx ? VirtioFeature.VIRTIO_F_EVENT_IDX : 0,
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

    private QueueLog log(long usedGuestAddress, int eventFd) {
        return new QueueLog(pages, usedGuestAddress, eventFd);
    }

    /** So many requests taken and given back, not yet shown to the driver. */
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

    @Test
    void shouldMarkElementsAndIndexWhenTheyArePublished() {
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        serve(1);
        device.publishUsed();
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, FIRST_HALF);
    }

    /** Whoever served it before may have been killed between writing the used index and marking its page. */
    @Test
    void shouldMarkAllOfARingThatWasInUseBefore() {
        device = newDevice(true, true);
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, FIRST_HALF, SECOND_HALF, EVENT_PAGE);
        seen.clear();
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        assertThat(seen.pages()).as("once is enough").isEmpty();
    }

    @Test
    void shouldMarkElementsThatWereWrittenBeforeLoggingBegan() {
        serve(1);
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        device.publishUsed();
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, FIRST_HALF);
    }

    @Test
    void shouldMarkOnlyTheElementsSinceTheLastTime() {
        serveAndPublish(512);
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        serveAndPublish(2);
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, SECOND_HALF);
    }

    @Test
    void shouldMarkBothEndsOfTheRingWhenElementsWrapAround() {
        serveAndPublish(1023);
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        serveAndPublish(2);
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, FIRST_HALF, SECOND_HALF);
        seen.clear();
        serveAndPublish(1);
        assertThat(seen.pages()).containsExactly(INDEX_PAGE, FIRST_HALF);
    }

    @Test
    void shouldMarkNothingWhenNothingIsPublished() {
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        serve(0);
        device.publishUsed();
        assertThat(seen.pages()).isEmpty();
    }

    @Test
    void shouldMarkTheAvailEvent() {
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        device.suppressKicks();
        assertThat(seen.pages()).containsExactly(EVENT_PAGE);
        seen.clear();
        device.suppressKicks(); // Nothing is written the second time.
        assertThat(seen.pages()).isEmpty();
        device.requestKicks();
        assertThat(seen.pages()).containsExactly(EVENT_PAGE);
    }

    @Test
    void shouldMarkTheFlagsWithoutEventIdx() {
        device = newDevice(false);
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        device.suppressKicks();
        assertThat(seen.pages()).containsExactly(INDEX_PAGE);
        seen.clear();
        device.requestKicks();
        assertThat(seen.pages()).containsExactly(INDEX_PAGE);
    }

    /** VHOST_VRING_F_LOG is not set. */
    @Test
    void shouldMarkNothingOfAnUnloggedRing() {
        device.logTo(log(QueueLog.UNLOGGED, -1));
        serveAndPublish(1);
        device.suppressKicks();
        device.requestKicks();
        assertThat(seen.pages()).isEmpty();
    }

    @Test
    void shouldMarkNothingAnyMoreWhenLoggingEnds() {
        device.logTo(log(USED_GUEST_ADDRESS, -1));
        assertThat(device.isLogging()).isTrue();
        device.logTo(null);
        assertThat(device.isLogging()).isFalse();
        serveAndPublish(1);
        device.requestKicks();
        assertThat(seen.pages()).isEmpty();
    }

    @Test
    void shouldMarkBuffersByTheirGuestAddress() {
        device.logTo(log(QueueLog.UNLOGGED, -1));
        device.logWritten(memory.hostAddress(GUEST + 0x3fff), 2);
        assertThat(seen.pages()).containsExactly(0x103L, 0x104L);
        seen.clear();
        device.logWritten(memory.hostAddress(GUEST), 0);
        assertThat(seen.pages()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(longs = {Long.MIN_VALUE, -4096, 0x7fff_ffff_ffff_f000L})
    void shouldOutliveAUsedRingThatIsNowhere(long usedGuestAddress) {
        device.logTo(log(usedGuestAddress, -1));
        serveAndPublish(1);
        device.requestKicks();
        assertThat(driver.returnedCount()).isEqualTo(1);
    }

    @Test
    void shouldSignalTheLogDescriptor() {
        int eventFd = EventFd.create();
        device.logTo(log(USED_GUEST_ADDRESS, eventFd));
        assertThat(EventFd.drain(eventFd)).isNegative();
        device.requestKicks();
        assertThat(EventFd.drain(eventFd)).isPositive();
        device.logTo(null);
        FileDescriptor.close(eventFd);
    }
}
