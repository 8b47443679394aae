// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineQueue;
import dev.vublk.emulator.worker.WorkerClient;
import dev.vublk.emulator.worker.WorkerTask;
import java.util.ArrayDeque;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** How disks wait on an IOThread: the calling coroutine is suspended. Runs on its IOThread. */
final class LoopIoContext implements IoContext {
    private final IOThread loop;
    private final @Nullable IoRing ring;
    private final WorkerClient workers;
    private final ArrayDeque<BlockedCoroutine> freeTasks = new ArrayDeque<>();

    LoopIoContext(IOThread loop, @Nullable IoRing ring, WorkerClient workers) {
        this.loop = loop;
        this.ring = ring;
        this.workers = workers;
    }

    @Override
    public @Nullable IoRing ring() {
        return ring;
    }

    @Override
    public int runBlocking(BlockingCall call) {
        BlockedCoroutine task = freeTasks.poll();
        if (task == null) {
            task = new BlockedCoroutine();
        }
        task.call = call;
        task.coroutine = loop.currentCoroutine();
        workers.submit(task);
        loop.suspendCurrent();
        int result = task.result;
        task.call = null;
        task.coroutine = null;
        freeTasks.add(task);
        return result;
    }

    @Override
    public WaitQueue newWaitQueue() {
        return new CoroutineQueue(loop);
    }

    /** A blocking call and the coroutine that waits for it; reused. */
    private final class BlockedCoroutine extends WorkerTask {
        private @Nullable BlockingCall call;
        private @Nullable Coroutine coroutine;
        private int result;

        @Override
        protected int run() {
            return Objects.requireNonNull(coroutine, "coroutine").refuses()
                    ? -Errno.ECANCELED
                    : Objects.requireNonNull(call, "call").run();
        }

        @Override
        protected void onComplete(int callResult) {
            result = callResult;
            loop.wake(Objects.requireNonNull(coroutine, "coroutine"));
        }
    }
}
