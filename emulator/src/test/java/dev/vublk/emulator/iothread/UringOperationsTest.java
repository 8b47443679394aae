// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Operations that complete while the loop sleeps, is about to sleep, or polls: a FIFO stands for a slow disk. */
final class UringOperationsTest {
    private static final int LIMIT_S = 20;

    @TempDir
    Path directory;

    private final WorkerPool workers = new WorkerPool(WorkerPoolConfig.DEFAULT.withName("test-worker"));
    private final long buffer = NativeMemory.allocateZeroed(4096);
    private int fifo;

    @SuppressWarnings("NullAway.Init") // Each test starts it.
    private IOThread loop;

    @SuppressWarnings("NullAway.Init")
    private IoRing ring;

    @BeforeEach
    void openFifo() throws Exception {
        String path = directory.resolve("fifo").toString();
        assertThat(new ProcessBuilder("mkfifo", path).start().waitFor()).isZero();
        fifo = PosixFile.open(path, PosixFile.O_RDWR);
        assertThat(fifo).isPositive();
    }

    private void start(long pollMaxNs) {
        PollSettings defaults = PollSettings.DEFAULT;
        PollSettings polling = pollMaxNs == 0
                ? PollSettings.OFF
                : new PollSettings(pollMaxNs, defaults.grow(), defaults.shrink(), defaults.idleNs());
        loop = new IOThread(
                new IOThreadConfig("test-loop", FdMonitorKind.IO_URING, polling), new GlobalCoroutinePool(), workers);
        loop.start();
        ring = requireNonNull(loop.ioContext().ring());
    }

    @AfterEach
    void tearDown() {
        loop.close();
        workers.close();
        FileDescriptor.close(fifo);
        NativeMemory.free(buffer);
    }

    private CompletableFuture<Integer> read(long address, int lengthBytes) {
        CompletableFuture<Integer> result = new CompletableFuture<>();
        loop.spawn(() -> result.complete(ring.read(fifo, address, lengthBytes, 0, 0)));
        return result;
    }

    private static int get(CompletableFuture<Integer> result) {
        return result.orTimeout(LIMIT_S, TimeUnit.SECONDS).join();
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 32_768})
    void shouldWakeUpForACompletionWheneverItComes(long pollMaxNs) {
        start(pollMaxNs);
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        for (int i = 0; i < 5_000; i++) {
            CompletableFuture<Integer> result = read(buffer, 1);
            // Before the submission, at the switch to sleep, and after it.
            for (int spins = random.nextInt(3_000); spins > 0; spins--) {
                Thread.onSpinWait();
            }
            assertThat(FileDescriptor.write(fifo, new byte[] {(byte) i})).isEqualTo(1);
            assertThat(get(result)).as("read " + i).isEqualTo(1);
            assertThat(NativeMemory.getByte(buffer)).isEqualTo((byte) i);
        }
        assertThat(loop.failedPasses()).isZero();
    }

    @Test
    void shouldLetTheOthersWaitWhenAllSlotsAreTaken() throws Exception {
        start(0);
        int count = IOThread.OPERATION_SLOTS + 100;
        Semaphore done = new Semaphore(0);
        for (int i = 0; i < count; i++) {
            loop.spawn(() -> {
                if (ring.read(fifo, buffer, 1, 0, 0) == 1) {
                    done.release();
                }
            });
        }
        for (int i = 0; i < count; i++) {
            assertThat(FileDescriptor.write(fifo, new byte[1])).isEqualTo(1);
        }
        assertThat(done.tryAcquire(count, LIMIT_S, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void shouldSayWhyARingIsRefused() {
        start(0);
        assertThat(UringOperations.refusal(IOThread.OPERATION_SLOTS)).isNull();
        assertThat(UringOperations.refusal(1 << 30)).startsWith("io_uring_setup: ");
    }

    @Test
    void shouldReturnErrors() {
        start(0);
        CompletableFuture<Integer> result = new CompletableFuture<>();
        loop.spawn(() -> result.complete(ring.read(Integer.MAX_VALUE, buffer, 1, 0, 0)));
        assertThat(get(result)).isEqualTo(-9);
    }

    @Test
    void shouldHearItsTasksWhileAnOperationTakesLong() {
        start(32_768);
        CompletableFuture<Integer> slow = read(buffer, 1);
        for (int i = 0; i < 1000; i++) {
            CompletableFuture<Integer> task = new CompletableFuture<>();
            loop.execute(() -> task.complete(1));
            assertThat(get(task)).isEqualTo(1);
        }
        assertThat(slow).isNotDone();
        assertThat(FileDescriptor.write(fifo, new byte[1])).isEqualTo(1);
        assertThat(get(slow)).isEqualTo(1);
    }

    /** Reads {@code times} from a FIFO that is never empty: the kernel answers within the submission. */
    private void readAtOnce(int times) {
        for (int i = 0; i < times; i++) {
            FileDescriptor.write(fifo, new byte[1]);
            assertThat(ring.read(fifo, buffer, 1, 0, 0)).isEqualTo(1);
        }
    }

    @Test
    void shouldNotGetReadyToSleepBeforeEachAnswerThatComesAtOnce() {
        start(32_768);
        int reads = 1_000;
        Polled polled = new Polled();
        CompletableFuture<Integer> sleeps = new CompletableFuture<>();
        loop.spawn(() -> {
            loop.pollWhileActive(polled);
            readAtOnce(reads);
            loop.stopPolling(polled);

            sleeps.complete(polled.ends);
        });
        assertThat(get(sleeps)).isLessThan(reads / 2);
    }

    @Test
    void shouldHearOfDescriptorsWhileAnswersComeAtOnce() {
        start(32_768);
        int eventFd = EventFd.create();
        AtomicBoolean heard = new AtomicBoolean();
        CompletableFuture<Integer> done = new CompletableFuture<>();
        loop.execute(() -> loop.watchEventFd(eventFd, () -> heard.set(true)));
        loop.spawn(() -> {
            readAtOnce(100);
            EventFd.signal(eventFd);
            while (!heard.get()) {
                readAtOnce(1);
            }
            done.complete(1);
        });
        assertThat(get(done)).isEqualTo(1);
        EventFd.close(eventFd);
    }

    /** Never has work; counts how often it was to be signalled. */
    private static final class Polled extends PolledItem {
        private int ends;

        @Override
        protected boolean poll() {
            return false;
        }

        @Override
        protected void onFaultWhilePolling() {}

        @Override
        protected void onPollBegin() {}

        @Override
        protected boolean onPollEnd() {
            ends++;
            return false;
        }

        @Override
        protected void run() {}

        @Override
        public void onFailure(Throwable failure) {
            throw new AssertionError(failure);
        }
    }
}
