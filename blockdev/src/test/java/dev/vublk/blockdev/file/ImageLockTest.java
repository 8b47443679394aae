// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestImages;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Who may open an image beside whom: among ourselves, and with QEMU's programs in both directions. */
final class ImageLockTest {
    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws IOException {
        image = TestImages.file(directory, 1 << 20);
    }

    /** Modes: {@code rw}, {@code ro}, then what else was asked for. */
    private static BlockOptions options(Path image, String mode) {
        return BlockOptions.of(image.toString())
                .withReadOnly(mode.startsWith("ro"))
                .withLocking(
                        mode.contains("nolock")
                                ? Locking.OFF
                                : mode.contains("deferred") ? Locking.DEFERRED : Locking.ON)
                .withShareRw(mode.contains("share"))
                .withForceShare(mode.contains("force"));
    }

    @ParameterizedTest
    @CsvSource({
        "ro,ro,true",
        "ro,rw,false",
        "rw,ro,false",
        "rw,rw,false",
        "rw+share,rw+share,true",
        "rw+share,rw,false",
        "rw,rw+share,false",
        "rw+share,ro+share,true",
        "rw+share,ro,false",
        "rw,ro+force,true",
        "rw,rw+nolock,true",
        "rw+nolock,rw,true"
    })
    void shouldAllowOrRefuseSecondOpener(String first, String second, boolean allowed) throws Exception {
        try (BlockDriver holder = BlockDrivers.open(options(image, first))) {
            assertThat(holder.limits().readOnly()).isEqualTo(first.startsWith("ro"));
            if (allowed) {
                BlockDrivers.open(options(image, second)).close();
            } else {
                assertThatThrownBy(() -> BlockDrivers.open(options(image, second)))
                        .isInstanceOf(BlockOpenException.class)
                        .hasMessageStartingWith(image + ": image is in use: ")
                        .hasMessageContaining("(pid " + ProcessHandle.current().pid() + ")")
                        .hasMessageContaining("share-rw=on")
                        .hasMessageNotContaining("\n");
            }
        }
        BlockDrivers.open(options(image, second)).close();
    }

    @Test
    void shouldRefuseToIgnoreLocksForWriting() {
        assertThatThrownBy(() -> BlockDrivers.open(options(image, "rw+force")))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("force-share=on")
                .hasMessageContaining("read-only=on");
    }

    /** A guest comes from another process, and goes back. */
    @Test
    void shouldLetTheImageGoWithItsGuest() throws Exception {
        try (BlockDriver source = BlockDrivers.open(options(image, "rw"));
                BlockDriver destination = BlockDrivers.open(options(image, "rw+deferred"))) {
            source.activate();
            for (int i = 0; i < 2; i++) {
                assertThatThrownBy(destination::activate)
                        .isInstanceOf(BlockOpenException.class)
                        .hasMessageContaining("image is in use");
            }
            source.deactivate();
            destination.activate();
            assertThatThrownBy(source::activate).isInstanceOf(BlockOpenException.class);
            assertThatThrownBy(() -> BlockDrivers.open(options(image, "rw"))).isInstanceOf(BlockOpenException.class);
            destination.deactivate();
            source.activate();
            assertThatThrownBy(destination::activate).isInstanceOf(BlockOpenException.class);
        }
    }

    /** Who did not get the image is in nobody's way. */
    @Test
    void shouldKeepNoLockAfterARefusal() throws Exception {
        try (BlockDriver late = BlockDrivers.open(options(image, "rw+deferred"))) {
            BlockDrivers.open(options(image, "rw")).close();
            try (BlockDriver source = BlockDrivers.open(options(image, "rw"))) {
                assertThatThrownBy(late::activate).isInstanceOf(BlockOpenException.class);
                source.deactivate();
                source.activate();
            }
            BlockDrivers.open(options(image, "rw")).close();
        }
    }

    @Test
    void shouldLetABlockDeviceGoWithItsGuest() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 1 << 20, 512);
                BlockDriver source = BlockDrivers.open(options(loop.device(), "rw"));
                BlockDriver destination = BlockDrivers.open(options(loop.device(), "rw+deferred"))) {
            assertThatThrownBy(destination::activate).isInstanceOf(BlockOpenException.class);
            source.deactivate();
            destination.activate();
        }
    }

    @Test
    void shouldLockBlockDevices() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 1 << 20, 512);
                BlockDriver holder = BlockDrivers.open(options(loop.device(), "rw"))) {
            assertThat(holder.limits().readOnly()).isFalse();
            assertThatThrownBy(() -> BlockDrivers.open(options(loop.device(), "ro")))
                    .isInstanceOf(BlockOpenException.class)
                    .hasMessageContaining("image is in use");
        }
    }

    /** qemu-io shares everything (a guest's disk does not), so what it uses and what we do not share decides. */
    @ParameterizedTest
    @CsvSource({
        "rw,ro,true",
        "rw,rw,false",
        "ro,ro,true",
        "ro,rw,false",
        "rw+share,rw,true",
        "rw+share,ro,true",
        "rw+nolock,rw,true"
    })
    void shouldAllowOrRefuseQemuBesideUs(String ours, String theirs, boolean allowed) throws Exception {
        Shell.assumeProgram("qemu-io");
        List<String> command = new ArrayList<>(List.of("qemu-io", "-f", "raw", "-c", "read 0 512", image.toString()));
        if (theirs.equals("ro")) {
            command.add(1, "-r");
        }
        try (BlockDriver holder = BlockDrivers.open(options(image, ours))) {
            assertThat(holder.limits().sizeBytes()).isEqualTo(1 << 20);
            Shell.Result result = Shell.run(command.toArray(String[]::new));
            assertThat(result.exitCode() == 0).as(result.output()).isEqualTo(allowed);
            if (!allowed) {
                assertThat(result.output()).contains("lock");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "rw,rw,false",
        "rw,ro,false",
        "rw,rw+share,true",
        "rw,ro+force,true",
        "rw,rw+nolock,true",
        "ro,ro,true",
        "ro,rw,true"
    })
    void shouldRespectRunningQemuStorageDaemon(String theirs, String ours, boolean allowed) throws Exception {
        Shell.assumeProgram("qemu-storage-daemon");
        Process daemon = new ProcessBuilder(
                        "qemu-storage-daemon",
                        "--blockdev",
                        "driver=file,node-name=disk,filename=" + image + (theirs.equals("ro") ? ",read-only=on" : ""),
                        "--export",
                        "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path="
                                + directory.resolve("socket") + ",writable=" + (theirs.equals("rw") ? "on" : "off"),
                        "--chardev",
                        "stdio,id=control",
                        "--monitor",
                        "chardev=control")
                .redirectErrorStream(true)
                .start();
        try (BufferedReader output = daemon.inputReader(UTF_8)) {
            assertThat(output.readLine())
                    .as("greeting, after everything is open")
                    .contains("QMP");
            if (allowed) {
                BlockDrivers.open(options(image, ours)).close();
            } else {
                assertThatThrownBy(() -> BlockDrivers.open(options(image, ours)))
                        .isInstanceOf(BlockOpenException.class)
                        .hasMessageContaining(image.toString())
                        .hasMessageContaining("qemu-storage-da (pid " + daemon.pid() + ")") // comm has 15 characters
                        .hasMessageContaining("share-rw=on");
            }
        } finally {
            daemon.destroy();
            daemon.waitFor();
        }
    }

    @ParameterizedTest
    @CsvSource({"off,rw,false", "off,rw+share,false", "on,rw+share,true", "on,rw,false", "off,ro,false"})
    void shouldRespectGuestDiskOfQemu(String shareRw, String ours, boolean allowed) throws Exception {
        Shell.assumeProgram("qemu-system-x86_64");
        Process qemu = new ProcessBuilder(
                        "qemu-system-x86_64",
                        "-M",
                        "pc,accel=tcg",
                        "-nodefaults",
                        "-display",
                        "none",
                        "-S",
                        "-qmp",
                        "stdio",
                        "-blockdev",
                        "driver=file,node-name=disk,filename=" + image,
                        "-device",
                        "virtio-blk-pci,drive=disk,share-rw=" + shareRw)
                .redirectErrorStream(true)
                .start();
        try (BufferedReader output = qemu.inputReader(UTF_8)) {
            assertThat(output.readLine())
                    .as("greeting, after everything is open")
                    .contains("QMP");
            // Negotiated and answered only when the machine has been built.
            qemu.outputWriter(UTF_8)
                    .append("{\"execute\":\"qmp_capabilities\"}\n")
                    .flush();
            assertThat(output.readLine()).contains("return");
            if (allowed) {
                BlockDrivers.open(options(image, ours)).close();
            } else {
                assertThatThrownBy(() -> BlockDrivers.open(options(image, ours)))
                        .isInstanceOf(BlockOpenException.class)
                        .hasMessageContaining("qemu-system");
            }
        } finally {
            qemu.destroy();
            qemu.waitFor();
        }
    }

    @Test
    void shouldKeepQemuGuestDiskAway() throws Exception {
        Shell.assumeProgram("qemu-system-x86_64");
        try (BlockDriver holder = BlockDrivers.open(options(image, "rw"))) {
            assertThat(holder.limits().readOnly()).isFalse();
            Shell.Result result = Shell.run(
                    "qemu-system-x86_64",
                    "-M",
                    "pc,accel=tcg",
                    "-nodefaults",
                    "-display",
                    "none",
                    "-S",
                    "-blockdev",
                    "driver=file,node-name=disk,filename=" + image,
                    "-device",
                    "virtio-blk-pci,drive=disk");
            assertThat(result.exitCode()).isNotZero();
            assertThat(result.output()).contains("lock");
        }
    }

    @Test
    void shouldLetQemuImgReadBesideReaderAndBlockResize() throws Exception {
        Shell.assumeProgram("qemu-img");
        try (BlockDriver holder = BlockDrivers.open(options(image, "ro"))) {
            assertThat(holder.limits().readOnly()).isTrue();
            assertThat(Shell.run("qemu-img", "info", "-f", "raw", image.toString())
                            .exitCode())
                    .isZero();
            assertThat(Shell.run("qemu-img", "resize", "-f", "raw", image.toString(), "2M")
                            .exitCode())
                    .isNotZero();
        }
        assertThat(Shell.run("qemu-img", "resize", "-f", "raw", image.toString(), "2M")
                        .exitCode())
                .isZero();
    }
}
