// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.vhostuser.memory.HostMemory;
import java.util.ArrayList;
import java.util.function.Consumer;

/**
 * Which items a loop polls, and for how long before it sleeps. Runs on its IOThread.
 *
 * <p>Only recently active items are polled, so that a hundred idle disks cost the active one nothing: one that had nothing to
 * do for a while leaves the list and is watched through its descriptor alone until that fires. The time adapts as in QEMU's
 * {@code aio_poll}: it grows while work arrives soon after polling ended, and shrinks when it does not.
 *
 * <p>Other than in QEMU two times are learned: one for waits after a guest has been answered, which most often end with its next
 * request, a microsecond or two later, and one for the others, which end when the disk has finished. With one time for both, a
 * disk that takes longer than the maximum puts an end to all polling, and every request then costs a kick and a second sleep.
 */
final class AdaptivePoller {
    /** First polling time; QEMU's. */
    private static final long FIRST_NS = 4_000;

    private final PollSettings settings;
    private final Consumer<PolledItem> schedule;
    private final ArrayList<PolledItem> items = new ArrayList<>();

    /** What was learned of waits before a guest was answered, and after. */
    private final long[] learnedNs = new long[2];

    /** Which of the two the present wait is. */
    private int kind;

    private long nowNs;

    /**
     * @param schedule queues an item that has work
     */
    AdaptivePoller(PollSettings settings, Consumer<PolledItem> schedule) {
        this.settings = settings;
        this.schedule = schedule;
    }

    boolean isEnabled() {
        return settings.maxNs() > 0;
    }

    /** How long the next polling lasts at most; 0: sleep at once. */
    long pollNs() {
        return items.isEmpty() ? 0 : learnedNs[kind];
    }

    /**
     * A wait begins.
     *
     * @param answered whether a guest has been answered since the one before
     */
    void beginWait(boolean answered) {
        kind = answered ? 1 : 0;
    }

    /** Whether guests' next requests are going to be polled for, so that none need kick. */
    boolean expectsRequests() {
        return learnedNs[1] > 0 && !items.isEmpty();
    }

    /** Puts an item that has something to do on the list, or keeps it there. */
    void onActive(PolledItem item) {
        item.lastActiveNs = nowNs;
        if (!item.polled && isEnabled()) {
            item.polled = true;
            items.add(item);
        }
    }

    /** Takes an item that stops off the list. */
    void remove(PolledItem item) {
        if (item.polled) {
            item.polled = false;
            items.remove(item);
        }
    }

    /** Polling begins. */
    void begin() {
        try {
            for (int i = 0; i < items.size(); i++) {
                items.get(i).onPollBegin();
            }
            HostMemory.awaitFault();
        } catch (InternalError fault) {
            onFault();
        }
    }

    /** Looks at every item, {@code times} over. Returns whether one had something. */
    boolean spin(int times) {
        try {
            boolean found = spinUnguarded(times);
            HostMemory.awaitFault();
            return found;
        } catch (InternalError fault) {
            onFault();
            return true; // What else was found is looked for again.
        }
    }

    private boolean spinUnguarded(int times) {
        int count = items.size();
        for (int spin = 0; spin < times; spin++) {
            boolean found = false;
            for (int i = 0; i < count; i++) {
                PolledItem item = items.get(i);
                if (item.poll()) {
                    found = true;
                    schedule.accept(item);
                }
            }
            if (found) {
                return true;
            }
            Thread.onSpinWait();
        }
        return false;
    }

    /** Looks once at every item that is not about to be run anyway: one whose kicks are suppressed must not wait for a busy one. */
    void look() {
        try {
            for (int i = 0; i < items.size(); i++) {
                PolledItem item = items.get(i);
                if (!item.queued && item.poll()) {
                    schedule.accept(item);
                }
            }
            HostMemory.awaitFault();
        } catch (InternalError fault) {
            onFault();
        }
    }

    /**
     * A guest has taken memory away that one of the items looks at, and the fault was thrown after that item's own method: see
     * {@link HostMemory#awaitFault}. Which one it was they find out themselves; the loop must not suffer from it.
     */
    private void onFault() {
        for (PolledItem item : items.toArray(PolledItem[]::new)) {
            item.onFaultWhilePolling();
        }
    }

    /** The loop is about to sleep, at {@code newNowNs}. Items that were idle for too long leave the list. */
    void end(long newNowNs) {
        nowNs = newNowNs;
        for (int i = items.size() - 1; i >= 0; i--) {
            PolledItem item = items.get(i);
            if (item.onPollEnd()) {
                schedule.accept(item);
            } else if (nowNs - item.lastActiveNs > settings.idleNs()) {
                item.polled = false;
                items.remove(i);
            }
        }
    }

    /** Learns from how long it took, polling and sleeping, until there was work again. */
    void onWork(long tookNs) {
        long pollNs = learnedNs[kind];
        if (tookNs <= pollNs) {
            return; // The sweet spot.
        }
        if (tookNs > settings.maxNs()) {
            learnedNs[kind] = settings.shrink() == 0 ? 0 : pollNs / settings.shrink();
        } else if (pollNs < settings.maxNs()) {
            long grown = pollNs == 0 ? FIRST_NS : pollNs * (settings.grow() == 0 ? 2 : settings.grow());
            learnedNs[kind] = Math.min(grown, settings.maxNs());
        }
    }

    /** How many items are polled. */
    int count() {
        return items.size();
    }
}
