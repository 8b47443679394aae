// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A file system of its own, mounted for one test. Needs root. */
public final class MountedDirectory implements AutoCloseable {
    private final Path directory;

    private MountedDirectory(Path directory) {
        this.directory = directory;
    }

    /** A tmpfs of limited size. */
    public static MountedDirectory tmpfs(Path parent, String size) throws IOException {
        Shell.assumeRoot();
        Path directory = Files.createTempDirectory(parent, "mount");
        Shell.check("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", directory.toString());
        return new MountedDirectory(directory);
    }

    /** A new ext4 on a block device. */
    public static MountedDirectory ext4(Path parent, Path device) throws IOException {
        Shell.assumeRoot();
        Shell.assumeProgram("mkfs.ext4");
        Path directory = Files.createTempDirectory(parent, "mount");
        Shell.check("mkfs.ext4", "-q", device.toString());
        Shell.check("mount", device.toString(), directory.toString());
        return new MountedDirectory(directory);
    }

    public Path path() {
        return directory;
    }

    @Override
    public void close() throws IOException {
        Shell.check("umount", directory.toString());
        Files.delete(directory);
    }
}
