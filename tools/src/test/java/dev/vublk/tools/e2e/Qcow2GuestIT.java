// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Guests on qcow2 images, with and without a backing file. After each, QEMU's programs find the image sound, and its content where
 * the guest left it.
 */
@ExtendWith(GuestRequirements.class)
class Qcow2GuestIT {
    private static final int KILLS = 3;

    @TempDir
    private Path directory;

    private Path image;
    private Path socket;

    @BeforeEach
    void needQemu() {
        Assumptions.assumeTrue(Files.isExecutable(Path.of("/usr/bin/qemu-img")), "skipped: qemu-img is not installed");
        image = directory.resolve("disk.qcow2");
        socket = directory.resolve("disk.sock");
    }

    /** An image as {@code qemu-img} makes it; with "backing" in front, over a raw file that is full of other bytes. */
    private void create(String options, long sizeBytes) throws IOException {
        String all = options;
        if (options.startsWith("backing")) {
            Path base = directory.resolve("base.raw");
            DiskImages.run("sh", "-c", "yes vublk | head -c " + sizeBytes * 3 / 4 + " > " + base);
            all = "backing_file=" + base + ",backing_fmt=raw" + options.substring("backing".length());
        }
        DiskImages.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", all, image.toString(), sizeBytes + "");
    }

    private VublkProcess export(String... more) throws Exception {
        List<String> arguments = new ArrayList<>(List.of(image.toString(), "--socket", socket.toString()));
        arguments.addAll(List.of(more));
        return VublkProcess.export(directory, 1, arguments.toArray(String[]::new));
    }

    /** No leak and no corruption, as far as QEMU can see, and QEMU reads in it what vublk does, in which the guest found its data. */
    private void assertSound() throws IOException {
        assertThat(DiskImages.run("qemu-img", "check", "-f", "qcow2", image.toString()))
                .contains("No errors were found on the image");
        Path raw = directory.resolve("as-vublk-reads-it.raw");
        DiskImages.run(Checkout.launcher(), "convert", "-f", "qcow2", "-O", "raw", image.toString(), raw.toString());
        DiskImages.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", image.toString(), raw.toString());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "cluster_size=65536; writeback",
                "cluster_size=4096,compat=0.10; none",
                "cluster_size=65536,extended_l2=on,lazy_refcounts=on; writeback",
                "backing,cluster_size=65536; none",
                "backing,cluster_size=131072,extended_l2=on; writeback"
            })
    void shouldCarryFileSystems(String options, String cache) throws Exception {
        create(options, 1024 * DiskImages.MIB);
        try (VublkProcess vublk = export("--cache", cache)) {
            Guest.uml("filesystem", socket).succeeds();
            vublk.stop(socket);
        }
        assertSound();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "cluster_size=65536; writeback",
                "cluster_size=512,refcount_bits=1; writeback",
                "cluster_size=2097152; none",
                "backing,cluster_size=65536; writethrough",
                "backing,cluster_size=16384,extended_l2=on; none",
                "cluster_size=65536; unsafe"
            })
    void shouldVerifyWhatFioWrote(String options, String cache) throws Exception {
        create(options, 256 * DiskImages.MIB);
        try (VublkProcess vublk = export("--cache", cache)) {
            Guest.uml("fio-verify", socket).succeeds();
            vublk.stop(socket);
        }
        assertSound();
    }

    /** fio verifies while the back end is killed and started again: nothing that was acknowledged is lost. */
    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=65536", "backing,cluster_size=65536,lazy_refcounts=on"})
    void shouldBeKilledAndStartedAgainUnderLoad(String options) throws Exception {
        create(options, 512 * DiskImages.MIB);
        Path share = Files.createDirectory(directory.resolve("share"));
        VublkProcess vublk = export();
        try (Guest.Running guest = Guest.qemu("reconnect-fio", socket)
                .with("GUEST_SHARE", share.toString())
                .withScriptEnvironment("RUNTIME=5 UNTIL=enough")
                .start()) {
            guest.awaitFile(share.resolve("running"));
            for (int i = 0; i < KILLS; i++) {
                guest.awaitWrite(image);
                vublk.kill();
                vublk = export();
            }
            guest.awaitWrite(image);
            Files.createFile(share.resolve("enough"));
            assertThat(guest.succeeds()).contains("verified under reconnects");
            vublk.stop(socket);
        } finally {
            vublk.close();
        }
        // What a killed process had reserved may have leaked; that is all.
        DiskImages.run("qemu-img", "check", "-q", "-r", "leaks", "-f", "qcow2", image.toString());
        assertSound();
    }

    @ParameterizedTest
    @ValueSource(strings = {"zlib", "zstd"})
    void shouldServeCompressedImagesForReading(String type) throws Exception {
        Path raw = DiskImages.sparse(directory, "disk.raw", 64 * DiskImages.MIB);
        DiskImages.run("mkfs.ext4", "-q", "-F", raw.toString());
        DiskImages.run(
                "qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=" + type, raw + "", image + "");
        byte[] before = Files.readAllBytes(image);
        try (VublkProcess vublk = export("--read-only", "--format", "qcow2")) {
            Guest.uml("read-only", socket).succeeds();
            vublk.stop(socket);
        }
        assertThat(Files.readAllBytes(image)).as("the image is not touched").isEqualTo(before);
        DiskImages.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw.toString(), image.toString());
    }

    @Test
    void shouldServeASnapshotForReading() throws Exception {
        Path raw = DiskImages.sparse(directory, "disk.raw", 64 * DiskImages.MIB);
        DiskImages.run("mkfs.ext4", "-q", "-F", raw.toString());
        DiskImages.run("qemu-img", "convert", "-O", "qcow2", raw.toString(), image.toString());
        DiskImages.run("qemu-img", "snapshot", "-c", "made", image.toString());
        DiskImages.run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", image.toString());
        try (VublkProcess vublk = export("--read-only", "--snapshot", "made", "--l2-cache-size", "64K")) {
            Guest.uml("read-only", socket).succeeds();
            vublk.stop(socket);
        }
        assertSound();
    }

    @Test
    void shouldGrowUnderTheGuest() throws Exception {
        create("cluster_size=4096", 64 * DiskImages.MIB);
        Path share = Files.createDirectory(directory.resolve("share"));
        Path control = directory.resolve("control.sock");
        try (VublkProcess vublk = export("--control", control.toString());
                Guest.Running guest = Guest.uml("resize", socket)
                        .with("GUEST_SHARE", share.toString())
                        .start()) {
            guest.awaitFile(share.resolve("before"));
            assertThat(DiskImages.run(
                            Checkout.launcher(), "resize", "--control", control.toString(), image.toString(), "+32M"))
                    .contains("resized: " + image + " (96 MiB)");
            assertThat(guest.succeeds()).contains("grew from 131072 to 196608 sectors");
            vublk.stop(socket);
        }
        assertSound();
    }
}
