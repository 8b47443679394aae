// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.MountedDirectory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Sparse images on file systems that are smaller than they: only as root. */
final class NoSpaceTest {
    @TempDir
    private Path directory;

    @ParameterizedTest
    @EnumSource(
            value = IoEngine.class,
            names = {"IO_URING", "THREADS", "MMAP"})
    void shouldReturnNoSpaceAndRecoverAfterDiscard(IoEngine engine) throws Exception {
        try (MountedDirectory mount = MountedDirectory.tmpfs(directory, "1m")) {
            fillDiscardAndWriteAgain(TestImages.file(mount.path(), 8 << 20), CacheMode.WRITEBACK, engine);
        }
    }

    @Test
    void shouldReturnNoSpaceOfDiskFileSystem() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 4 << 20, 512);
                MountedDirectory mount = MountedDirectory.ext4(directory, loop.device())) {
            fillDiscardAndWriteAgain(TestImages.file(mount.path(), 8 << 20), CacheMode.NONE, IoEngine.IO_URING);
        }
    }

    private static void fillDiscardAndWriteAgain(Path image, CacheMode mode, IoEngine engine) throws Exception {
        byte[] data = new byte[1 << 19];
        Arrays.fill(data, (byte) 1);
        try (TestDisk disk = new TestDisk(TestDisk.options(image, mode, engine), PlainLoop.withRing())) {
            assertThat(disk.write(0, data, true)).isZero();
            int result = 0;
            for (long offset = 1 << 20; offset < 8 << 20 && result == 0; offset += data.length) {
                result = disk.write(offset, data, false);
            }
            assertThat(result).isEqualTo(-Errno.ENOSPC);
            assertThat(disk.read(0, data.length)).isEqualTo(data);
            assertThat(disk.discard(1 << 20, 7 << 20)).isZero();
            assertThat(disk.write(2 << 20, data, false)).isZero();
            assertThat(disk.flush()).isZero();
        }
    }
}
