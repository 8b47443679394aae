// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every argument of every call must arrive: offsets above 4 GiB, flags, the fifth argument. */
final class PosixFileTest {
    private static final long FAR_OFFSET_BYTES = (5L << 30) + 3;
    private static final int RWF_UNKNOWN = 1 << 30;

    @TempDir
    private Path directory;

    private Path path;
    private int fd;

    @BeforeEach
    void openFile() throws IOException {
        path = directory.resolve("file");
        new RandomAccessFile(path.toFile(), "rw").close();
        fd = PosixFile.open(path.toString(), PosixFile.O_RDWR);
        assertThat(fd).isNotNegative();
    }

    @AfterEach
    void closeFile() {
        PosixFile.close(fd);
    }

    @Test
    void shouldWriteAndReadVectorAtFarOffset() {
        try (TestVector source = TestVector.of(3, 0, 5);
                TestVector target = TestVector.of(8)) {
            source.put("abcdefgh".getBytes(UTF_8));
            assertThat(PosixFile.writev(fd, source.iov(), 3, FAR_OFFSET_BYTES, PosixFile.RWF_DSYNC))
                    .isEqualTo(8);
            assertThat(PosixFile.readv(fd, target.iov(), 1, FAR_OFFSET_BYTES, 0))
                    .isEqualTo(8);
            assertThat(new String(target.get(), UTF_8)).isEqualTo("abcdefgh");
            assertThat(path.toFile().length()).isEqualTo(FAR_OFFSET_BYTES + 8);
        }
    }

    @Test
    void shouldRefuseUnknownFlagsWithNegativeErrno() {
        try (TestVector vector = TestVector.of(8)) {
            assertThat(PosixFile.writev(fd, vector.iov(), 1, 0, RWF_UNKNOWN)).isEqualTo(-Errno.EOPNOTSUPP);
            assertThat(PosixFile.readv(fd, vector.iov(), 1, 0, RWF_UNKNOWN)).isEqualTo(-Errno.EOPNOTSUPP);
        }
    }

    @Test
    void shouldWriteAndReadOneBufferAtFarOffset() {
        long buffer = NativeMemory.allocateZeroed(16);
        try {
            NativeMemory.putLong(buffer, 42);
            assertThat(PosixFile.write(fd, buffer, 8, FAR_OFFSET_BYTES)).isEqualTo(8);
            assertThat(PosixFile.read(fd, buffer + 8, 8, FAR_OFFSET_BYTES)).isEqualTo(8);
            assertThat(NativeMemory.getLong(buffer + 8)).isEqualTo(42);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    @Test
    void shouldAllocatePunchAndTruncate() throws IOException {
        assertThat(PosixFile.fallocate(fd, 0, FAR_OFFSET_BYTES - 3, 65536)).isZero();
        FileStatus full = FileStatus.of(fd);
        assertThat(full.sizeBytes()).isEqualTo(FAR_OFFSET_BYTES - 3 + 65536);
        assertThat(full.allocatedBytes()).isGreaterThanOrEqualTo(65536);
        int punch = PosixFile.FALLOC_FL_PUNCH_HOLE | PosixFile.FALLOC_FL_KEEP_SIZE;
        assertThat(PosixFile.fallocate(fd, punch, FAR_OFFSET_BYTES - 3, 65536)).isZero();
        assertThat(FileStatus.of(fd).allocatedBytes()).isLessThan(65536);
        assertThat(PosixFile.ftruncate(fd, 1000)).isZero();
        assertThat(FileStatus.of(fd).sizeBytes()).isEqualTo(1000);
        assertThat(PosixFile.fdatasync(fd)).isZero();
        assertThat(PosixFile.fsync(fd)).isZero();
    }

    @Test
    void shouldTellErrnoOfFailedCalls() {
        assertThat(PosixFile.open(directory.resolve("missing").toString(), PosixFile.O_RDONLY))
                .isEqualTo(-Errno.ENOENT);
        assertThat(PosixFile.fdatasync(-1)).isEqualTo(-9); // EBADF
        assertThat(BlockDeviceIoctl.sizeBytes(fd)).isEqualTo(-Errno.ENOTTY);
        assertThat(Errno.describe(-Errno.ENOSPC)).isEqualTo("No space left on device");
    }

    @Test
    void shouldSeeLocksOfOtherDescriptionsOnly() {
        int other = PosixFile.open(path.toString(), PosixFile.O_RDWR);
        try {
            assertThat(OfdLock.lockShared(fd, 100)).isZero();
            assertThat(OfdLock.hasConflict(fd, 100)).isZero();
            assertThat(OfdLock.hasConflict(other, 100)).isEqualTo(1);
            assertThat(OfdLock.hasConflict(other, 101)).isZero();
            assertThat(OfdLock.lockShared(other, 100)).isZero();
        } finally {
            PosixFile.close(other);
        }
    }
}
