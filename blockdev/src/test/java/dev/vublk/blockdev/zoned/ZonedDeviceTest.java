// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.testing.Shell;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** A host-managed device of this machine: null_blk with zones, where the kernel has it. Needs root. */
final class ZonedDeviceTest {
    @Test
    void shouldServeAHostManagedDevice() throws Exception {
        Shell.assumeRoot();
        Path configfs = Path.of("/sys/kernel/config/nullb");
        if (!Files.isDirectory(configfs) && Files.isExecutable(Path.of("/usr/sbin/modprobe"))) {
            Shell.run("modprobe", "null_blk", "nr_devices=0");
        }
        Assumptions.assumeTrue(
                Files.isDirectory(configfs),
                "skipped: this kernel has no null_blk, or it is not loaded; UmlGuestIT has a guest do the same");
        Path device = Files.createDirectory(
                configfs.resolve("vublk" + ProcessHandle.current().pid()));
        try {
            set(device, "memory_backed", 1);
            set(device, "size", 64);
            Assumptions.assumeTrue(
                    Files.exists(device.resolve("zoned")), "skipped: this kernel's null_blk has no zones");
            set(device, "zoned", 1);
            set(device, "zone_size", 4);
            set(device, "zone_nr_conv", 2);
            set(device, "zone_max_open", 3);
            set(device, "zone_max_active", 5);
            set(device, "power", 1);
            ZonedDeviceCheck.run(Path.of(
                    "/dev/nullb" + Files.readString(device.resolve("index")).strip()));
        } finally {
            Files.delete(device);
        }
    }

    private static void set(Path device, String name, int value) throws java.io.IOException {
        Files.writeString(device.resolve(name), String.valueOf(value));
    }
}
