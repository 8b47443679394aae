// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.EventFd;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Each monitor does what the others do. */
class FdMonitorTest {
    private static final int LIMIT_S = 20;

    private final WorkerPool workers = new WorkerPool(WorkerPoolConfig.DEFAULT);
    private final List<Integer> fds = new ArrayList<>();

    @SuppressWarnings("NullAway.Init") // Each test starts it, with its kind of monitor.
    private IOThread loop;

    private void start(FdMonitorKind kind) {
        loop = new IOThread(
                new IOThreadConfig("monitored", kind, PollSettings.OFF), new GlobalCoroutinePool(), workers);
        loop.start();
    }

    @AfterEach
    void tearDown() {
        loop.close();
        workers.close();
        fds.forEach(EventFd::close);
    }

    private int eventFd() {
        int fd = EventFd.create();
        assertThat(fd).isPositive();
        fds.add(fd);
        return fd;
    }

    /** Runs {@code task} on the loop and waits for it. */
    private void onLoop(Runnable task) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        loop.execute(() -> {
            try {
                task.run();
                done.complete(null);
            } catch (Throwable t) {
                done.completeExceptionally(t);
            }
        });
        done.orTimeout(LIMIT_S, TimeUnit.SECONDS).join();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldTellEachSignalOfAnEventFd(FdMonitorKind kind) throws Exception {
        start(kind);
        int fd = eventFd();
        Semaphore signals = new Semaphore(0);
        onLoop(() -> loop.watchEventFd(fd, signals::release));

        for (int i = 0; i < 1000; i++) {
            EventFd.signal(fd);
            assertThat(signals.tryAcquire(LIMIT_S, TimeUnit.SECONDS))
                    .as("signal " + i)
                    .isTrue();
        }
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldTellOfASignalThatCameBeforeTheWatch(FdMonitorKind kind) throws Exception {
        start(kind);
        int fd = eventFd();
        EventFd.signal(fd);
        Semaphore signals = new Semaphore(0);
        onLoop(() -> loop.watchEventFd(fd, signals::release));
        assertThat(signals.tryAcquire(LIMIT_S, TimeUnit.SECONDS)).isTrue();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldTellNothingMoreAfterCancel(FdMonitorKind kind) throws Exception {
        start(kind);
        int cancelled = eventFd();
        int other = eventFd();
        Semaphore signals = new Semaphore(0);
        Semaphore otherSignals = new Semaphore(0);
        List<Runnable> watches = new ArrayList<>();
        onLoop(() -> {
            watches.add(loop.watchEventFd(cancelled, signals::release));
            loop.watchEventFd(other, otherSignals::release);
        });
        onLoop(watches.getFirst());

        for (int i = 0; i < 100; i++) {
            EventFd.signal(cancelled);
            EventFd.signal(other);
            assertThat(otherSignals.tryAcquire(LIMIT_S, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(signals.availablePermits()).isZero();
    }

    /** Cancelling a poll while its event is being reported used to fail, and the poll held its descriptor for ever. */
    @Test
    void shouldKeepNothingOfAWatchCancelledWhileItsEventIsReported() throws Exception {
        start(FdMonitorKind.IO_URING);
        UringFdMonitor monitor = (UringFdMonitor) loop.fdMonitor();
        int[] before = new int[1]; // What the loop itself watches.
        onLoop(() -> before[0] = monitor.watchCount());
        int fd = eventFd();
        EventFd.signal(fd);
        for (int i = 0; i < 1000; i++) {
            CompletableFuture<FdMonitor.FdWatch> watch = new CompletableFuture<>();
            Semaphore reported = new Semaphore(0);
            onLoop(() -> watch.complete(monitor.watch(fd, FdMonitor.POLLIN, reported::release)));
            assertThat(reported.tryAcquire(LIMIT_S, TimeUnit.SECONDS)).isTrue();
            EventFd.signal(fd);
            onLoop(() -> watch.join().cancel());
        }
        // Each look is a pass; the kernel has answered the last cancellation after a few.
        int[] left = {Integer.MAX_VALUE};
        for (int pass = 0; pass < 1000 && left[0] > before[0]; pass++) {
            onLoop(() -> left[0] = monitor.watchCount());
        }
        assertThat(left[0]).isEqualTo(before[0]);
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldWatchThousandsAndReuseTheirSlots(FdMonitorKind kind) throws Exception {
        start(kind);
        int count = 500;
        for (int round = 0; round < 4; round++) {
            Semaphore signals = new Semaphore(0);
            List<Runnable> watches = new ArrayList<>();
            List<Integer> watched = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                watched.add(EventFd.create());
            }
            onLoop(() -> watched.forEach(fd -> watches.add(loop.watchEventFd(fd, signals::release))));
            watched.forEach(EventFd::signal);
            assertThat(signals.tryAcquire(count, LIMIT_S, TimeUnit.SECONDS)).isTrue();
            onLoop(() -> watches.forEach(Runnable::run));
            watched.forEach(EventFd::close);
        }
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldLetACoroutineWaitForADescriptor(FdMonitorKind kind) {
        start(kind);
        int fd = eventFd();
        LoopControlContext context = new LoopControlContext(loop);
        CompletableFuture<Boolean> readable = new CompletableFuture<>();
        CompletableFuture<Boolean> writable = new CompletableFuture<>();
        WaitCancel cancel = context.newWaitCancel();
        loop.spawn(() -> {
            writable.complete(context.awaitWritable(fd, cancel));
            readable.complete(context.awaitReadable(fd, cancel));
        });

        assertThat(writable.orTimeout(LIMIT_S, TimeUnit.SECONDS).join()).isTrue();
        onLoop(() -> assertThat(readable).isNotDone());
        EventFd.signal(fd);
        assertThat(readable.orTimeout(LIMIT_S, TimeUnit.SECONDS).join()).isTrue();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldEndAWaitThatIsCancelled(FdMonitorKind kind) {
        start(kind);
        int fd = eventFd();
        LoopControlContext context = new LoopControlContext(loop);
        WaitCancel cancel = context.newWaitCancel();
        CompletableFuture<Boolean> readable = new CompletableFuture<>();
        loop.spawn(() -> readable.complete(context.awaitReadable(fd, cancel)));
        onLoop(() -> {});

        cancel.cancel();
        assertThat(readable.orTimeout(LIMIT_S, TimeUnit.SECONDS).join()).isFalse();
        CompletableFuture<Boolean> later = new CompletableFuture<>();
        loop.spawn(() -> later.complete(context.awaitReadable(fd, cancel)));
        assertThat(later.orTimeout(LIMIT_S, TimeUnit.SECONDS).join()).isFalse();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldWakeUpForTasksOfOtherThreadsAndForWorkers(FdMonitorKind kind) {
        start(kind);
        for (int i = 0; i < 1000; i++) {
            onLoop(() -> {});
        }
        CompletableFuture<Integer> result = new CompletableFuture<>();
        loop.spawn(() -> result.complete(loop.ioContext().runBlocking(() -> 42)));
        assertThat(result.orTimeout(LIMIT_S, TimeUnit.SECONDS).join()).isEqualTo(42);
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "AUTO")
    void shouldHaveARingOnlyWithIoUring(FdMonitorKind kind) {
        start(kind);
        assertThat(loop.ioContext().ring() != null).isEqualTo(kind == FdMonitorKind.IO_URING);
    }
}
