// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.e2e.DiskImages.LoopDevice;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.assertj.core.api.Assertions;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** User-Mode Linux on disks that vublk serves: one queue each, a kernel that asks for replies to everything. */
@ExtendWith(GuestRequirements.class)
class UmlGuestIT {
    @TempDir
    private Path directory;

    private Path socket(String name) {
        return directory.resolve(name);
    }

    @ParameterizedTest
    @CsvSource({"writeback,auto", "none,auto", "none,threads"})
    void shouldCarryFileSystems(String cache, String engine) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 1024 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory, 1, image.toString(), "--socket", socket.toString(), "--cache", cache, "--engine", engine)) {
            Guest.uml("filesystem", socket).succeeds();
            vublk.stop(socket);
        }
    }

    @ParameterizedTest
    @CsvSource({"writeback,auto", "none,auto", "writethrough,auto", "directsync,threads", "unsafe,threads"})
    void shouldVerifyWhatFioWrote(String cache, String engine) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory, 1, image.toString(), "--socket", socket.toString(), "--cache", cache, "--engine", engine)) {
            Guest.uml("fio-verify", socket).succeeds();
            vublk.stop(socket);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"epoll", "poll"})
    void shouldServeWithoutIoUring(String monitor) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory, 1, image.toString(), "--socket", socket.toString(), "--fd-monitor", monitor)) {
            Guest.uml("fio-verify", socket).succeeds();
            vublk.stop(socket);
        }
    }

    /** This kernel takes packed rings when they are offered. */
    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void shouldServeEachKindOfRing(String packed) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory, 1, image.toString(), "--socket", socket.toString(), "--packed", packed)) {
            boolean taken = Guest.uml("probe", socket).succeeds().contains(" RING_PACKED");
            assertThat(taken).isEqualTo(packed.equals("on"));
            Guest.uml("fio-verify", socket).succeeds();
            Guest.uml("filesystem", socket).succeeds();
            vublk.stop(socket);
        }
    }

    /** As in a container, whose seccomp filter refuses io_uring. */
    @Test
    void shouldServeWithEpollAndWorkersWhereIoUringIsNotPermitted() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        String withoutIoUring = Checkout.guestScript("without-io-uring.pl");
        try (VublkProcess vublk = VublkProcess.exportThrough(
                List.of(withoutIoUring),
                directory,
                1,
                image.toString(),
                "--socket",
                socket.toString(),
                "--fd-monitor",
                "auto")) {
            Guest.uml("fio-verify", socket).succeeds();
            vublk.stop(socket);
            assertThat(vublk.logText()).containsOnlyOnce("WARN");
            assertThat(vublk.logText()).contains("io_uring is not to be had", "epoll", "worker threads");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 4096})
    void shouldServeBlockDevices(int sectorBytes) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (LoopDevice device = new LoopDevice(image, sectorBytes);
                VublkProcess vublk = VublkProcess.export(
                        directory, 1, device.path.toString(), "--socket", socket.toString(), "--cache", "none")) {
            Guest.uml("sector-size", socket)
                    .withScriptEnvironment("BLOCK_SIZE=" + sectorBytes)
                    .succeeds();
            Guest.uml("fio-verify", socket).succeeds();
            vublk.stop(socket);
        }
    }

    @Test
    void shouldServeThreeDisksFromOneProcess() throws Exception {
        Path[] sockets = new Path[3];
        String[] arguments = new String[8];
        for (int i = 0; i < 3; i++) {
            Path image = DiskImages.sparse(directory, "disk" + i + ".img", 64 * DiskImages.MIB);
            sockets[i] = socket("disk" + i + ".sock");
            arguments[2 * i] = "--disk";
            arguments[2 * i + 1] = "image=" + image + ",socket=" + sockets[i] + ",serial=disk-" + i;
        }
        arguments[6] = "--iothreads";
        arguments[7] = "2";
        try (VublkProcess vublk = VublkProcess.export(directory, 3, arguments)) {
            Guest.uml("three-disks", sockets).succeeds();
            vublk.stop(sockets);
        }
    }

    @Test
    void shouldRefuseWritesToReadOnlyDisk() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        DiskImages.run("mkfs.ext4", "-q", "-F", image.toString());
        Path socket = socket("disk.sock");
        try (VublkProcess vublk =
                VublkProcess.export(directory, 1, image.toString(), "--socket", socket.toString(), "--read-only")) {
            Guest.uml("read-only", socket).succeeds();
            vublk.stop(socket);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"writeback", "writethrough"})
    void shouldLetTheGuestChooseTheWriteCache(String cache) throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk =
                VublkProcess.export(directory, 1, image.toString(), "--socket", socket.toString(), "--cache", cache)) {
            String printed = Guest.uml("write-cache", socket).succeeds();
            assertThat(printed)
                    .contains(cache.equals("writeback") ? "starts as write back" : "starts as write through");
            vublk.stop(socket);
        }
    }

    @Test
    void shouldTellTheGuestWhatWasAskedFor() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory,
                1,
                image.toString(),
                "--socket",
                socket.toString(),
                "--serial",
                "a,serial of 20 bytes",
                "--block-size",
                "4K",
                "--discard",
                "ignore",
                "--write-zeroes",
                "off",
                "--seg-max",
                "64")) {
            String printed = Guest.uml("probe", socket).succeeds();
            assertThat(printed)
                    .contains("serial=a,serial of 20 bytes")
                    .contains("sectors=131072")
                    .contains("logical_block_size=4096")
                    .contains("max_segments=64")
                    .contains("discard_max_bytes=0")
                    .contains("write_zeroes_max_bytes=0");
            vublk.stop(socket);
        }
    }

    @Test
    void shouldEraseAndTellTheGeometry() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory,
                1,
                image.toString(),
                "--socket",
                socket.toString(),
                "--secure-erase",
                "on",
                "--geometry",
                "1000/200/60")) {
            Guest.uml("erase-geometry", socket)
                    .withScriptEnvironment("GEOMETRY=1000/200/60")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    /** A kernel that {@code scripts/guest/zoned-kernel.sh} built; Debian's knows no zones. */
    private static Path zonedKernel() {
        String directory = System.getenv()
                .getOrDefault(
                        "VUBLK_GUEST_DIR",
                        System.getenv().getOrDefault("XDG_CACHE_HOME", System.getProperty("user.home") + "/.cache")
                                + "/vublk/guest");
        Path kernel = Path.of(directory, "uml-zoned/linux.uml");
        Assumptions.assumeTrue(
                Files.isExecutable(kernel), "skipped: no kernel with zones, scripts/guest/zoned-kernel.sh builds one");
        return kernel;
    }

    @ParameterizedTest
    @ValueSource(strings = {"writeback", "none"})
    void shouldServeAZonedDisk(String cache) throws Exception {
        Path kernel = zonedKernel();
        Path image = DiskImages.sparse(directory, "disk.img", 2048 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                directory,
                1,
                image.toString(),
                "--socket",
                socket.toString(),
                "--cache",
                cache,
                "--zone-size",
                "64M",
                "--zone-capacity",
                "48M",
                "--conventional-zones",
                "4",
                "--max-open-zones",
                "6",
                "--max-active-zones",
                "12")) {
            Guest.uml("zoned", socket)
                    .with("GUEST_UML", kernel.toString())
                    .with("GUEST_VIRTIO_BLK", "0")
                    .withScriptEnvironment("ZONES=32 ZONE_SECTORS=131072")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    /** The driver of host-managed devices against the guest kernel's own: the ioctls are real, and so are the zones. */
    @Test
    void shouldServeAHostManagedDevice() throws Exception {
        Path root = Path.of(Checkout.launcher()).getParent().getParent();
        URL assertj = Assertions.class.getProtectionDomain().getCodeSource().getLocation();
        String classPath = String.join(
                ":",
                "/run/share/blockdev/target/test-classes",
                "/run/share/tools/target/dist/lib/*",
                Path.of(assertj.toURI()).toString());
        String java = System.getProperty("java.home") + "/bin/java";
        Guest.script(
                        "uml-run.sh",
                        "none",
                        Checkout.guestTest("zoned-device"),
                        "null_blk.nr_devices=1",
                        "null_blk.gb=1",
                        "null_blk.memory_backed=1",
                        "null_blk.zoned=1",
                        "null_blk.zone_size=4",
                        "null_blk.zone_nr_conv=2",
                        "null_blk.zone_max_open=3",
                        "null_blk.zone_max_active=5")
                .with("GUEST_UML", zonedKernel().toString())
                .with("GUEST_VIRTIO_BLK", "0")
                .with("GUEST_MEM", "1G")
                .with("GUEST_SHARE", root.toString())
                .withScriptEnvironment("JAVA=" + java + " CLASSPATH=" + classPath)
                .succeeds();
    }

    @Test
    void shouldGrowUnderTheGuest() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        Path socket = socket("disk.sock");
        Path share = Files.createDirectory(directory.resolve("share"));
        try (VublkProcess vublk = VublkProcess.export(directory, 1, image.toString(), "--socket", socket.toString());
                Guest.Running guest = Guest.uml("resize", socket)
                        .with("GUEST_SHARE", share.toString())
                        .start()) {
            guest.awaitFile(share.resolve("before"));
            DiskImages.resize(image, 96 * DiskImages.MIB);
            vublk.signal("HUP");
            assertThat(guest.succeeds()).contains("grew from 131072 to 196608 sectors");
            vublk.stop(socket);
        }
    }

    /** Each guest waits for the other before it reads, so they are there at the same time. */
    @Test
    void shouldServeTwoGuestsThatReadOneDisk() throws Exception {
        Path image = DiskImages.sparse(directory, "disk.img", 64 * DiskImages.MIB);
        DiskImages.run("mkfs.ext4", "-q", "-F", "-d", "/etc/ssl", image.toString());
        Path share = Files.createDirectory(directory.resolve("share"));
        Path socket = socket("disk.sock");
        try (VublkProcess vublk = VublkProcess.export(
                        directory, 1, image.toString(), "--socket", socket.toString(), "-r", "--clients", "2");
                Guest.Running first = reader(socket, share, "ME=1 OTHER=2");
                Guest.Running second = reader(socket, share, "ME=2 OTHER=1")) {
            assertThat(first.succeeds()).contains("read beside 2");
            assertThat(second.succeeds()).contains("read beside 1");
            vublk.stop(socket);
        }
    }

    private static Guest.Running reader(Path socket, Path share, String environment) throws Exception {
        return Guest.uml("read-together", socket)
                .with("GUEST_SHARE", share.toString())
                .withScriptEnvironment(environment)
                .start();
    }
}
