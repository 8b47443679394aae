// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** A loop device on a new file, with sectors of a chosen size. Needs root. */
public final class LoopDevice implements AutoCloseable {
    private final Path backing;
    private final Path device;

    private LoopDevice(Path backing, Path device) {
        this.backing = backing;
        this.device = device;
    }

    /** Attaches one; skips the test, with the reason, where the kernel has no loop devices. */
    public static LoopDevice create(Path directory, long sizeBytes, int sectorBytes) throws IOException {
        Shell.assumeRoot();
        Shell.assumeProgram("losetup");
        Assumptions.assumeTrue(
                Files.exists(Path.of("/dev/loop-control")),
                "skipped: this kernel has no loop devices (/dev/loop-control)");
        Path backing = TestImages.file(directory, sizeBytes);
        String device = Shell.check(
                "losetup", "-f", "--show", "--sector-size", Integer.toString(sectorBytes), backing.toString());
        return new LoopDevice(backing, Path.of(device));
    }

    public Path device() {
        return device;
    }

    public Path backing() {
        return backing;
    }

    @Override
    public void close() throws IOException {
        Shell.check("losetup", "-d", device.toString());
        Files.delete(backing);
    }
}
