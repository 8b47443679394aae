// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Which items are polled, and for how long. */
class AdaptivePollerTest {
    private static final long MS = 1_000_000;

    private final List<PolledItem> scheduled = new ArrayList<>();

    private AdaptivePoller poller(long maxNs, int grow, int shrink) {
        return new AdaptivePoller(new PollSettings(maxNs, grow, shrink, 7_000 * MS), scheduled::add);
    }

    @Test
    void shouldNotPollWithoutActiveItems() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onWork(1000);
        assertThat(poller.pollNs()).isZero();
    }

    @Test
    void shouldGrowWhileWorkComesSoonAfterPolling() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onActive(new Item());

        poller.onWork(3_000);
        assertThat(poller.pollNs()).isEqualTo(4_000);
        poller.onWork(5_000);
        assertThat(poller.pollNs()).isEqualTo(8_000);
        poller.onWork(9_000);
        poller.onWork(17_000);
        poller.onWork(32_100);
        assertThat(poller.pollNs()).as("never above the maximum").isEqualTo(32_768);
    }

    @Test
    void shouldStayWhenPollingFindsTheWork() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onActive(new Item());
        poller.onWork(3_000);
        poller.onWork(3_999);
        assertThat(poller.pollNs()).isEqualTo(4_000);
    }

    @Test
    void shouldShrinkWhenWorkComesTooLate() {
        AdaptivePoller poller = poller(32_768, 4, 2);
        poller.onActive(new Item());
        poller.onWork(1_000);
        poller.onWork(10_000);
        assertThat(poller.pollNs()).isEqualTo(16_000);
        poller.onWork(50_000);
        assertThat(poller.pollNs()).isEqualTo(8_000);
    }

    @Test
    void shouldStopAtOnceWithoutShrinkFactor() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onActive(new Item());
        poller.onWork(1_000);
        poller.onWork(50_000);
        assertThat(poller.pollNs()).isZero();
    }

    @Test
    void shouldLearnApartWhatFollowsAnAnswer() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onActive(new Item());
        for (int request = 0; request < 3; request++) {
            poller.beginWait(false);
            poller.onWork(100_000); // the disk
            assertThat(poller.pollNs()).as("no polling for what takes too long").isZero();
            poller.beginWait(true);
            poller.onWork(3_000); // the guest
        }
        assertThat(poller.pollNs()).isEqualTo(4_000);
        assertThat(poller.expectsRequests()).isTrue();
        poller.beginWait(false);
        assertThat(poller.pollNs()).isZero();
    }

    @Test
    void shouldExpectNoRequestsThatComeTooLate() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        poller.onActive(new Item());
        poller.beginWait(true);
        poller.onWork(3_000);
        poller.onWork(50_000);
        assertThat(poller.expectsRequests()).isFalse();
    }

    @Test
    void shouldNeverPollWhenSwitchedOff() {
        AdaptivePoller poller = poller(0, 0, 0);
        Item item = new Item();
        poller.onActive(item);
        poller.onWork(1_000);
        assertThat(poller.isEnabled()).isFalse();
        assertThat(poller.pollNs()).isZero();
        assertThat(item.isPolled()).isFalse();
    }

    @Test
    void shouldDropItemThatWasIdleForTooLong() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        Item idle = new Item();
        Item busy = new Item();
        poller.end(0);
        poller.onActive(idle);
        poller.onActive(busy);

        poller.end(6_999 * MS);
        poller.onActive(busy);
        assertThat(poller.count()).isEqualTo(2);
        poller.end(7_001 * MS);

        assertThat(poller.count()).isEqualTo(1);
        assertThat(idle.isPolled()).isFalse();
        assertThat(idle.asksForSignals).as("before it leaves").isTrue();
        assertThat(busy.isPolled()).isTrue();
        poller.onActive(idle);
        assertThat(idle.isPolled()).as("it comes back when it is active").isTrue();
    }

    @Test
    void shouldScheduleWhoHasWork() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        Item first = new Item();
        Item second = new Item();
        poller.onActive(first);
        poller.onActive(second);

        assertThat(poller.spin(3)).isFalse();
        second.hasWork = true;
        assertThat(poller.spin(3)).isTrue();
        assertThat(scheduled).containsExactly(second);
    }

    @Test
    void shouldScheduleWhoGotWorkAtTheLastMoment() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        Item item = new Item();
        poller.onActive(item);
        poller.begin();
        assertThat(item.asksForSignals).isFalse();
        item.hasWork = true;
        poller.end(0);
        assertThat(item.asksForSignals).isTrue();
        assertThat(scheduled).containsExactly(item);
    }

    @Test
    void shouldForgetItemThatStops() {
        AdaptivePoller poller = poller(32_768, 0, 0);
        Item item = new Item();
        poller.onActive(item);
        poller.remove(item);
        item.hasWork = true;
        assertThat(poller.spin(3)).isFalse();
        assertThat(poller.count()).isZero();
    }

    private static final class Item extends PolledItem {
        private boolean hasWork;
        private boolean asksForSignals = true;

        @Override
        protected void run() {}

        @Override
        protected boolean poll() {
            return hasWork;
        }

        @Override
        protected void onFaultWhilePolling() {}

        @Override
        protected void onPollBegin() {
            asksForSignals = false;
        }

        @Override
        protected boolean onPollEnd() {
            asksForSignals = true;
            return hasWork;
        }

        @Override
        public void onFailure(Throwable failure) {
            throw new AssertionError(failure);
        }
    }
}
