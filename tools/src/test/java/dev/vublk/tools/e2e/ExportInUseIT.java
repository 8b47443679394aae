// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Images of a disk on which a guest's file system is being written, taken by {@code export-image}: each is the disk at one moment,
 * so it keeps what an fsync had promised before, and the file system is clean once its journal has been replayed.
 */
@ExtendWith(GuestRequirements.class)
class ExportInUseIT {
    private static final int EXPORTS = 3;

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"raw", "qcow2"})
    void shouldBeOneMomentOfAFileSystem(String format) throws Exception {
        Path image = format.equals("raw")
                ? DiskImages.sparse(directory, "disk.img", 512 * DiskImages.MIB)
                : directory.resolve("disk.img");
        if (format.equals("qcow2")) {
            DiskImages.run("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "512M");
        }
        Path share = Files.createDirectory(directory.resolve("share"));
        Path socket = directory.resolve("disk.sock");
        Path control = directory.resolve("control.sock");
        try (VublkProcess vublk = VublkProcess.export(
                        directory,
                        1,
                        image.toString(),
                        "--format",
                        format,
                        "--socket",
                        socket.toString(),
                        "--control",
                        control.toString(),
                        "--snapshot-dir",
                        directory.toString());
                Guest.Running guest = Guest.uml("power-cut", socket)
                        .with("GUEST_SHARE", share.toString())
                        .withScriptEnvironment("FS=ext4")
                        .start()) {
            guest.awaitFile(share.resolve("begin"));
            for (int i = 0; i < EXPORTS; i++) {
                guest.awaitWrite(image);
                // What is promised now must be in the image, which is made of a later moment.
                Path promised = share.resolve("promised");
                Path before = share.resolve("promised-" + i);
                Files.write(before, Files.exists(promised) ? Files.readAllBytes(promised) : new byte[0]);
                DiskImages.run(
                        Checkout.launcher(),
                        "export-image",
                        "--from-control",
                        control.toString(),
                        "-O",
                        "raw",
                        copy(i).toString());
            }
            Files.createFile(share.resolve("enough"));
            guest.succeeds();
            vublk.stop(socket);
        }
        check(share);
    }

    private Path copy(int i) {
        return directory.resolve("copy-" + i + ".img");
    }

    /** A second guest mounts every copy. */
    private void check(Path share) throws Exception {
        String[] arguments = new String[2 * EXPORTS];
        Path[] sockets = new Path[EXPORTS];
        for (int i = 0; i < EXPORTS; i++) {
            sockets[i] = directory.resolve("copy-" + i + ".sock");
            arguments[2 * i] = "--disk";
            arguments[2 * i + 1] = "format=raw,image=" + copy(i) + ",socket=" + sockets[i];
        }
        try (VublkProcess vublk = VublkProcess.export(directory, EXPORTS, arguments)) {
            String printed = Guest.uml("power-cut-check", sockets)
                    .with("GUEST_SHARE", share.toString())
                    .withScriptEnvironment("FS=ext4")
                    .succeeds();
            assertThat(printed).contains("cut " + (EXPORTS - 1) + ":", "ext4 clean");
            System.out.println(printed);
            vublk.stop(sockets);
        }
    }
}
