// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.vhostuser.ControlContext;
import org.jspecify.annotations.Nullable;

/** How listeners and sessions wait on a control loop: the calling coroutine is suspended. Runs on its loop. */
public final class LoopControlContext implements ControlContext {
    private final PassLoop loop;

    public LoopControlContext(PassLoop loop) {
        this.loop = loop;
    }

    @Override
    public boolean awaitReadable(int fd, WaitCancel cancel) {
        return await(fd, FdMonitor.POLLIN, (LoopWaitCancel) cancel);
    }

    @Override
    public boolean awaitWritable(int fd, WaitCancel cancel) {
        return await(fd, FdMonitor.POLLOUT, (LoopWaitCancel) cancel);
    }

    private boolean await(int fd, int events, LoopWaitCancel cancel) {
        if (cancel.cancelled) {
            return false;
        }
        Wait wait = new Wait(loop.currentCoroutine());
        cancel.wait = wait;
        FdMonitor.FdWatch watch = loop.fdMonitor().watch(fd, events, wait::end);
        loop.suspendCurrent();
        watch.cancel();
        cancel.wait = null;
        return !cancel.cancelled;
    }

    @Override
    public void spawn(Runnable work) {
        loop.spawn(work);
    }

    @Override
    public WaitCancel newWaitCancel() {
        return new LoopWaitCancel();
    }

    /** A suspended coroutine that is to be woken once, by whatever comes first. */
    private final class Wait {
        private final Coroutine coroutine;
        private boolean ended;

        private Wait(Coroutine coroutine) {
            this.coroutine = coroutine;
        }

        private void end() {
            if (!ended) {
                ended = true;
                loop.wake(coroutine);
            }
        }
    }

    /** Cancelled from any thread; {@link #wait} belongs to the loop. */
    private final class LoopWaitCancel implements WaitCancel {
        private volatile boolean cancelled;
        private @Nullable Wait wait;

        @Override
        public void cancel() {
            cancelled = true;
            loop.execute(this::endPresentWait);
        }

        private void endPresentWait() {
            Wait present = wait;
            if (present != null) {
                present.end();
            }
        }

        @Override
        public boolean isCancelled() {
            return cancelled;
        }
    }
}
