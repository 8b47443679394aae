// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.FaultPlan.Operation;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a channel makes of calls that are short, interrupted, busy, unsupported or failing. */
final class FileFaultsTest {
    private static final int DISK_BYTES = 4 << 20;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws IOException {
        image = TestImages.file(directory, DISK_BYTES);
    }

    /** Answers each call of one kind in turn; later calls and other kinds have no fault. */
    private static final class Script implements FaultPlan {
        private final Operation operation;
        private final long[] answers;
        private final AtomicInteger next = new AtomicInteger();

        Script(Operation operation, long... answers) {
            this.operation = operation;
            this.answers = answers;
        }

        @Override
        public long next(Operation operation, long offsetBytes, long lengthBytes) {
            if (operation != this.operation) {
                return NO_FAULT;
            }
            int index = next.getAndIncrement();
            return index < answers.length ? answers[index] : NO_FAULT;
        }

        int callCount() {
            return next.get();
        }
    }

    private static long[] repeat(int count, long answer) {
        long[] answers = new long[count];
        Arrays.fill(answers, answer);
        return answers;
    }

    @ParameterizedTest
    @EnumSource(
            value = CacheMode.class,
            names = {"NONE", "WRITEBACK"})
    void shouldContinueShortTransfers(CacheMode mode) throws Exception {
        long seed = System.nanoTime();
        System.out.println("shouldContinueShortTransfers seed " + seed);
        Random random = new Random(seed);
        // Direct I/O ends on sectors; buffered I/O anywhere.
        int unit = mode.direct() ? 512 : 1;
        FaultPlan shortened = (operation, offsetBytes, lengthBytes) ->
                operation == Operation.FALLOCATE || operation == Operation.FSYNC || random.nextInt(3) == 0
                        ? FaultPlan.NO_FAULT
                        : unit * (1L + random.nextInt((int) Math.max(1, lengthBytes / unit)));
        try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withRing(shortened))) {
            RandomRequests requests = new RandomRequests(disk, seed, new byte[DISK_BYTES]);
            requests.run(100);
        }
    }

    @ParameterizedTest
    @EnumSource(Operation.class)
    void shouldRepeatInterruptedAndBusyCalls(Operation operation) throws Exception {
        Script script = new Script(operation, -Errno.EINTR, -Errno.EAGAIN, -Errno.EINTR, -Errno.EAGAIN);
        PlainLoop loop = operation == Operation.BLOCKING ? PlainLoop.withoutRing(script) : PlainLoop.withRing(script);
        byte[] data = new byte[4096];
        Arrays.fill(data, (byte) 7);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), loop)) {
            assertThat(disk.write(8192, data, false)).isZero();
            assertThat(disk.write(4096, data, true)).isZero();
            assertThat(disk.flush()).isZero();
            assertThat(disk.writeZeroes(8192, 4096, true, false)).isZero();
            assertThat(disk.discard(8192, 4096)).isZero();
            assertThat(disk.read(4096, 4096)).isEqualTo(data);
            assertThat(script.callCount()).isGreaterThan(4);
        }
    }

    @Test
    void shouldGiveUpWhenBusyForLong() throws Exception {
        Script script = new Script(Operation.READ, repeat(5000, -Errno.EAGAIN));
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(script));
                TestVector vector = TestVector.of(512)) {
            assertThat(disk.read(0, vector)).isEqualTo(-Errno.EAGAIN);
            assertThat(script.callCount()).isEqualTo(1001);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Errno.EIO, Errno.ENOSPC, Errno.EDQUOT})
    void shouldReturnErrnoOfThirdPiece(int errno) throws Exception {
        Script script = new Script(Operation.WRITE, 512, 512, -errno);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(script))) {
            assertThat(disk.write(0, new byte[4096], false)).isEqualTo(-errno);
            assertThat(disk.write(0, new byte[4096], false)).isZero();
            assertThat(disk.flush()).isZero();
        }
    }

    @Test
    void shouldFailReadsBehindTruncatedEnd() throws Exception {
        for (CacheMode mode : new CacheMode[] {CacheMode.NONE, CacheMode.WRITEBACK}) {
            TestImages.setSize(image, DISK_BYTES);
            try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withoutRing());
                    TestVector vector = TestVector.of(65536);
                    TestVector odd = TestVector.skewed(1, 65536)) {
                TestImages.setSize(image, 8192 + 100);
                assertThat(disk.read(0, vector)).isEqualTo(-Errno.EIO);
                assertThat(disk.read(1 << 20, vector)).isEqualTo(-Errno.EIO);
                assertThat(disk.read(0, odd)).isEqualTo(-Errno.EIO);
            }
        }
    }

    @Test
    void shouldFailEveryFlushOfEveryChannelAfterOneFailed() throws Exception {
        Script script = new Script(Operation.FSYNC, FaultPlan.NO_FAULT, -Errno.EIO);
        PlainLoop other = PlainLoop.withRing();
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(script));
                var second = disk.driver.openChannel(other)) {
            assertThat(disk.flush()).isZero();
            assertThat(disk.flush()).isEqualTo(-Errno.EIO);
            assertThat(disk.flush()).isEqualTo(-Errno.EIO);
            assertThat(other.run(second::flush)).isEqualTo(-Errno.EIO);
            assertThat(disk.writeZeroes(0, 4096, false, true)).isEqualTo(-Errno.EIO);
            assertThat(script.callCount()).isEqualTo(2);
            assertThat(disk.write(0, new byte[512], false)).isZero();
        }
    }

    @Test
    void shouldFailFlushesAfterFailedSyncingWriteThroughPageCache() throws Exception {
        Script script = new Script(Operation.WRITE_DSYNC, -Errno.EIO);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(script))) {
            assertThat(disk.write(0, new byte[512], true)).isEqualTo(-Errno.EIO);
            assertThat(disk.flush()).isEqualTo(-Errno.EIO);
        }
    }

    @Test
    void shouldNotFailFlushesAfterFailedDirectWrite() throws Exception {
        Script script = new Script(Operation.WRITE_DSYNC, -Errno.EIO);
        try (TestDisk disk = new TestDisk(TestDisk.options(image, CacheMode.NONE), PlainLoop.withRing(script))) {
            assertThat(disk.write(0, new byte[512], true)).isEqualTo(-Errno.EIO);
            assertThat(disk.flush()).isZero();
        }
    }

    /** Found by the simulator: the write had synced nothing, so no report of an older failure can have been used up. */
    @Test
    void shouldNotFailFlushesAfterFailedPlainWriteWhereSyncingWritesDoNotExist() throws Exception {
        FaultPlan plan = (operation, offsetBytes, lengthBytes) -> switch (operation) {
            case WRITE_DSYNC -> -Errno.EOPNOTSUPP;
            case WRITE -> offsetBytes == 4096 ? -Errno.EIO : FaultPlan.NO_FAULT;
            default -> FaultPlan.NO_FAULT;
        };
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan))) {
            assertThat(disk.write(4096, new byte[512], true)).isEqualTo(-Errno.EIO);
            assertThat(disk.flush()).isZero();
            assertThat(disk.write(0, new byte[512], true)).isZero();
        }
    }

    /** Counts each kind of call; refuses some. */
    private static final class Refusal implements FaultPlan {
        private final Map<Operation, Integer> counts = new EnumMap<>(Operation.class);
        private final Operation refused;
        private final int errno;

        Refusal(Operation refused, int errno) {
            this.refused = refused;
            this.errno = errno;
        }

        @Override
        public synchronized long next(Operation operation, long offsetBytes, long lengthBytes) {
            counts.merge(operation, 1, Integer::sum);
            return operation == refused ? -errno : NO_FAULT;
        }

        synchronized int count(Operation operation) {
            return counts.getOrDefault(operation, 0);
        }
    }

    @Test
    void shouldWriteAndFlushWhereSyncingWritesDoNotExist() throws Exception {
        Refusal plan = new Refusal(Operation.WRITE_DSYNC, Errno.EOPNOTSUPP);
        byte[] data = new byte[1024];
        Arrays.fill(data, (byte) 3);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan));
                TestVector vector = TestVector.of(512, 512)) {
            assertThat(disk.write(512, vector.put(data), true)).isZero();
            assertThat(disk.write(4096, data, true)).isZero();
            assertThat(disk.read(512, 1024)).isEqualTo(data);
            assertThat(disk.read(4096, 1024)).isEqualTo(data);
        }
        assertThat(plan.count(Operation.WRITE_DSYNC)).as("tried once only").isEqualTo(1);
        assertThat(plan.count(Operation.WRITE)).isEqualTo(2);
        assertThat(plan.count(Operation.FSYNC)).isEqualTo(2);
    }

    @Test
    void shouldSyncWithTheWriteItselfWhereThatExists() throws Exception {
        Refusal plan = new Refusal(Operation.BLOCKING, Errno.EIO);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan))) {
            assertThat(disk.write(0, new byte[1024], true)).isZero();
        }
        assertThat(plan.count(Operation.WRITE_DSYNC)).isEqualTo(1);
        assertThat(plan.count(Operation.FSYNC)).isZero();
    }

    @Test
    void shouldNeitherSyncNorFlushWhenUnsafe() throws Exception {
        Refusal plan = new Refusal(Operation.BLOCKING, Errno.EIO);
        try (TestDisk disk = new TestDisk(TestDisk.options(image, CacheMode.UNSAFE), PlainLoop.withRing(plan))) {
            assertThat(disk.write(0, new byte[1024], true)).isZero();
            assertThat(disk.writeZeroes(0, 4096, false, true)).isZero();
            assertThat(disk.flush()).isZero();
        }
        assertThat(plan.count(Operation.WRITE)).isEqualTo(1);
        assertThat(plan.count(Operation.WRITE_DSYNC)).isZero();
        assertThat(plan.count(Operation.FSYNC)).isZero();
    }

    @Test
    void shouldWriteZeroesAsDataWhereTheFileSystemCannotZero() throws Exception {
        Refusal plan = new Refusal(Operation.FALLOCATE, Errno.EOPNOTSUPP);
        byte[] data = new byte[3 << 20];
        Arrays.fill(data, (byte) 9);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan))) {
            assertThat(disk.write(0, data, false)).isZero();
            assertThat(disk.writeZeroes(512, (3 << 20) - 1024, true, true)).isZero();
            assertThat(disk.writeZeroes(512, 512, true, false)).isZero();
            Arrays.fill(data, 512, data.length - 512, (byte) 0);
            assertThat(disk.read(0, data.length)).isEqualTo(data);
        }
        assertThat(plan.count(Operation.FALLOCATE))
                .as("each way tried once only")
                .isEqualTo(2);
        assertThat(plan.count(Operation.FSYNC)).isEqualTo(1);
    }

    @Test
    void shouldTakeUnsupportedDiscardForDone() throws Exception {
        Refusal plan = new Refusal(Operation.FALLOCATE, Errno.EOPNOTSUPP);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan))) {
            assertThat(disk.discard(0, 4096)).isZero();
            assertThat(disk.discard(0, 4096)).isZero();
        }
        assertThat(plan.count(Operation.FALLOCATE)).isEqualTo(1);
    }

    @Test
    void shouldReturnOtherErrnosOfDiscardAndZeroes() throws Exception {
        Refusal plan = new Refusal(Operation.FALLOCATE, Errno.EIO);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(plan))) {
            assertThat(disk.discard(0, 4096)).isEqualTo(-Errno.EIO);
            assertThat(disk.writeZeroes(0, 4096, false, false)).isEqualTo(-Errno.EIO);
            assertThat(disk.discard(0, 4096)).isEqualTo(-Errno.EIO);
        }
        assertThat(Files.size(image)).isEqualTo(DISK_BYTES);
    }
}
