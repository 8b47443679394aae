// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineLoop;
import dev.vublk.emulator.coroutine.CoroutineSource;
import dev.vublk.emulator.trace.CoroutineSwitchesEvent;
import dev.vublk.emulator.trace.FlightRecording;
import java.util.ArrayDeque;
import java.util.ArrayList;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * A loop whose passes run inside coroutines, whatever it waits with: {@link IOThread} waits for the kernel, the simulator
 * of the tests for simulated time. Runs on one thread, unless said otherwise.
 *
 * <p>A pass takes completions and tasks in, resumes the coroutines whose waits are over, runs the queued items, and lets
 * the pass-end listeners publish. <b>The passes themselves run in a coroutine</b>, the loop's owner: an item runs inline
 * and costs no switch unless it waits. When it waits, its coroutine keeps it, and another coroutine from the pool takes
 * the loop over in the middle of the pass. A resumed coroutine runs nested in the owner.
 */
public abstract class PassLoop implements CoroutineLoop {
    private static final Logger LOG = LogManager.getLogger(PassLoop.class);

    /** After so many failed passes without a whole one between them there is no hope. Arbitrary. */
    private static final int FAILURES_IN_A_ROW_MAX = 100;

    private final String name;

    private final ArrayDeque<PassItem> items = new ArrayDeque<>();
    private final ArrayDeque<Coroutine> resumable = new ArrayDeque<>();
    /** Items that found no coroutine left; each is in here at most once a pass. */
    private final ArrayDeque<PassItem> starvedItems = new ArrayDeque<>();

    private final ArrayList<PassEndListener> passEndListeners = new ArrayList<>();

    /** What an owner does; one object for all of them. */
    private final Runnable passes = this::runPasses;

    /** The coroutine that runs the passes; null between two owners. */
    private @Nullable Coroutine owner;
    /** The coroutine that runs now. */
    private @Nullable Coroutine current;
    /** The item that the owner runs now. */
    private @Nullable PassItem currentItem;
    /** Items still to be run in this pass. */
    private int itemsLeft;

    /** Passes that ended in an exception since the last whole one. */
    private int failuresInARow;

    /** Keeps an eye on how long passes take. */
    final PassWatchdog watchdog;

    /** Passes that ended in an exception, ever; written by the loop only. */
    private volatile long failedPasses;

    /** Whether a guest has been answered since the loop last waited. */
    boolean answered;

    /** Ends {@link #runOwners} when this pass is over. */
    boolean terminated;

    PassLoop(String name) {
        this.name = name;
        watchdog = new PassWatchdog(name);
    }

    public final String name() {
        return name;
    }

    /** The coroutines that this loop runs. */
    abstract CoroutineSource coroutines();

    /** The watcher of descriptors; on this thread only. */
    abstract FdMonitor fdMonitor();

    /** How disks wait on this loop. */
    public abstract IoContext ioContext();

    /** Takes in what has happened meanwhile: completions, signals, tasks. Waits for that if there is no work. */
    abstract void beginPass();

    /** Tells that {@code item} has something to do: the loop polls it from now on, unless polling is off. */
    public abstract void pollWhileActive(PolledItem item);

    /** Polls {@code item} no more. On this thread only. */
    public abstract void stopPolling(PolledItem item);

    /** A guest has been shown that requests of its are done: it may have more at once. On this thread only. */
    public final void onAnswered() {
        answered = true;
    }

    /** Calls {@code onSignal} whenever {@code fd}, an eventfd, is signalled. Returns what ends that. On this thread only. */
    public final Runnable watchEventFd(int fd, Runnable onSignal) {
        return fdMonitor().watchEventFd(fd, onSignal)::cancel;
    }

    /** Runs {@code work} in a coroutine of this loop, where it may suspend. Any thread. */
    public final void spawn(Runnable work) {
        PassItem item = new SpawnedWork(work);
        if (inLoop()) {
            schedule(item);
        } else {
            execute(() -> schedule(item));
        }
    }

    /** Queues {@code item} for this pass or the next, unless it is queued already. On this thread only. */
    public final void schedule(PassItem item) {
        if (!item.queued) {
            item.queued = true;
            items.add(item);
        }
    }

    /** Calls {@code listener} once at the end of this pass. On this thread only, once a pass for each listener. */
    public final void atPassEnd(PassEndListener listener) {
        passEndListeners.add(listener);
    }

    /**
     * Whether a coroutine is left to take the loop over if the present one suspends. When not, {@code starved} waits its
     * turn: it is scheduled as soon as there is one again. On this thread only.
     */
    public final boolean canSuspend(PassItem starved) {
        if (coroutines().canTake()) {
            return true;
        }
        starvedItems.add(starved);
        return false;
    }

    final void onCoroutineAvailable() {
        for (int left = starvedItems.size(); left > 0; left--) {
            schedule(starvedItems.remove());
        }
    }

    @Override
    public final Coroutine currentCoroutine() {
        Coroutine running = current;
        if (running == null) {
            throw new IllegalStateException("not in a coroutine");
        }
        return running;
    }

    @Override
    public final void suspendCurrent() {
        if (current == owner) {
            owner = null;
            PassItem item = currentItem;
            if (item != null && item.goesOnElsewhere() && !item.queued) {
                item.queued = true;
                items.addFirst(item);
                itemsLeft++;
            }
        }
        Coroutine.suspend();
    }

    @Override
    public final void wake(Coroutine coroutine) {
        resumable.add(coroutine);
    }

    /** What the loop's thread does until {@link #terminated}: hands the loop to one coroutine after the other. */
    final void runOwners() {
        while (!terminated) {
            // At the limit the loop itself still needs somebody to run it; work that asks canSuspend does not.
            Coroutine next = coroutines().takeRegardless();
            owner = next;
            current = next;
            try {
                next.start(passes);
            } catch (Throwable t) {
                onCoroutineDied(next, t);
            }
            current = null;
            releaseIfIdle(next);
        }
    }

    /**
     * Something was thrown where nobody handles it: outside of an item, or, as the {@link InternalError} of guest memory that
     * is gone may be, a little later than where it happened. The loop goes on with the next coroutine, unless it fails
     * again and again.
     */
    private void onCoroutineDied(Coroutine coroutine, Throwable failure) {
        LOG.error("{}: a pass failed", name, failure);
        countFailedPass();
        coroutines().discard(coroutine);
        if (++failuresInARow > FAILURES_IN_A_ROW_MAX) {
            throw new IllegalStateException(name + " cannot go on", failure);
        }
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // written by the loop only; volatile for those who read
    private void countFailedPass() {
        failedPasses++;
    }

    /** Passes that ended in an exception since the thread started: 0 unless there is a mistake of ours. Any thread. */
    public final long failedPasses() {
        return failedPasses;
    }

    private void releaseIfIdle(Coroutine coroutine) {
        if (coroutine.isIdle()) {
            coroutines().release(coroutine);
            if (!starvedItems.isEmpty()) {
                onCoroutineAvailable();
            }
        }
    }

    /** Pass after pass, as long as this coroutine owns the loop. May begin in the middle of a pass. */
    private void runPasses() {
        Coroutine me = currentCoroutine();
        while (!terminated) {
            if (itemsLeft == 0) {
                beginPass();
                resumeCoroutines();
                itemsLeft = items.size();
            }
            while (itemsLeft > 0) {
                itemsLeft--;
                runItem(items.remove());
                if (owner != me) {
                    return;
                }
            }
            endPass();
        }
    }

    private void resumeCoroutines() {
        if (resumable.isEmpty()) {
            return;
        }
        watchdog.ran("resumed coroutines");
        if (FlightRecording.isOn() && CoroutineSwitchesEvent.isOn()) {
            CoroutineSwitchesEvent.record(name, resumable.size());
        }
        // Those that are woken meanwhile wait for the next pass, so that a pass is bounded.
        for (int left = resumable.size(); left > 0; left--) {
            Coroutine next = resumable.remove();
            Coroutine me = current;
            current = next;
            try {
                next.resume();
            } catch (Throwable t) {
                onCoroutineDied(next, t);
            }
            current = me;
            releaseIfIdle(next);
        }
    }

    private void runItem(PassItem item) {
        item.queued = false;
        currentItem = item;
        watchdog.ran(item);
        try {
            item.run();
        } catch (Throwable t) {
            item.onFailure(t);
        }
        currentItem = null;
    }

    private void endPass() {
        for (int i = 0; i < passEndListeners.size(); i++) {
            PassEndListener listener = passEndListeners.get(i);
            try {
                listener.onPassEnd();
            } catch (Throwable t) {
                listener.onFailure(t);
            }
        }
        passEndListeners.clear();
        failuresInARow = 0;
        watchdog.end();
    }

    /** Whether items or coroutines are to be run. */
    final boolean hasWork() {
        return !items.isEmpty() || !resumable.isEmpty();
    }

    /** Passes that took longer than a millisecond. Any thread; a little old. */
    public final long slowPasses() {
        return watchdog.slowPasses();
    }

    /** Work handed over by {@link #spawn}. */
    private static final class SpawnedWork extends PassItem {
        private final Runnable work;

        private SpawnedWork(Runnable work) {
            this.work = work;
        }

        @Override
        protected void run() {
            work.run();
        }

        @Override
        public void onFailure(Throwable failure) {
            LOG.error("spawned work failed", failure);
        }
    }
}
