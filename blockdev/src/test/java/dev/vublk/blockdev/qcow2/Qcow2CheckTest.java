// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.testing.Shell;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Our check against QEMU's, on sound images and on damaged ones; and what our repair leaves. */
class Qcow2CheckTest {
    private static final int ROUNDS = Integer.getInteger("vublk.check.rounds", 8);

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeQemuTools();
    }

    private static Qcow2CheckResult check(Path image, List<String> findings) throws IOException {
        try (OfflineFile file = OfflineFile.open(image.toString(), false, false)) {
            return Qcow2Check.run(file, findings::add);
        }
    }

    private static Qcow2CheckResult repair(Path image, Qcow2Repair.Mode mode) throws IOException {
        try (OfflineFile file = OfflineFile.open(image.toString(), true, false)) {
            return Qcow2Repair.run(file, mode, finding -> {});
        }
    }

    /** What QEMU reads of an image; nothing where it refuses to. */
    private byte[] content(Path image) throws IOException {
        Path raw = directory.resolve("content.raw");
        Shell.Result result =
                Shell.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image.toString(), raw.toString());
        return result.exitCode() == 0 ? Files.readAllBytes(raw) : new byte[0];
    }

    private static List<String> some(List<String> findings) {
        return findings.subList(0, Math.min(20, findings.size()));
    }

    /** QEMU has nothing against a table that is something else as well, once its refcount says so. */
    private static long sharedMetadata(List<String> findings) {
        return findings.stream()
                .filter(finding -> finding.endsWith(" is metadata, and something else"))
                .count();
    }

    @Test
    void shouldAgreeOnSoundImages() throws IOException {
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.check.seed", new Random().nextLong());
            Path image = directory.resolve("sound.qcow2");
            String options = RandomImage.make(image, new Random(seed));
            List<String> findings = new ArrayList<>();

            Qcow2CheckResult result = check(image, findings);

            QemuCheck qemu = QemuCheck.of(image);
            assertThat(findings).as("seed %d, %s", seed, options).isEmpty();
            assertThat(result).as("seed %d, %s", seed, options).isEqualTo(qemu.result());
            assertThat(result.isClean()).isTrue();
            Files.delete(image);
        }
    }

    @Test
    void shouldAgreeOnDamagedImagesAndRepairThem() throws IOException {
        for (int round = 0; round < ROUNDS * 2; round++) {
            long seed = Long.getLong("vublk.check.seed", new Random().nextLong());
            Random random = new Random(seed);
            Path image = directory.resolve("damaged.qcow2");
            String options = RandomImage.make(image, random);
            Damage damage = Damage.of(image, random);
            String what = "seed " + seed + ", " + options + ", " + damage;
            List<String> findings = new ArrayList<>();

            Qcow2CheckResult result = check(image, findings);

            QemuCheck qemu = QemuCheck.of(image);
            assertThat(result)
                    .as("%s\nours: %s\nQEMU's: %s", what, some(findings), qemu)
                    .isEqualTo(qemu.result());
            byte[] before = content(image);
            assertThat(before.length > 0 || !damage.isRepairable()).as(what).isTrue();

            Qcow2CheckResult repaired = repair(image, Qcow2Repair.Mode.ALL);

            assertThat(content(image)).as(what).isEqualTo(before);
            QemuCheck afterwards = QemuCheck.of(image);
            List<String> left = new ArrayList<>();
            assertThat(check(image, left).corruptions()).as(what).isEqualTo(repaired.corruptions());
            assertThat(repaired.corruptions())
                    .as("%s\nours: %s\nQEMU's: %s", what, some(left), afterwards)
                    .isEqualTo(afterwards.result().corruptions() + sharedMetadata(left));
            assertThat(repaired.leaks()).as(what).isEqualTo(afterwards.result().leaks());
            if (damage.isRepairable()) {
                assertThat(afterwards.status())
                        .as("%s\n%s\n%s", what, afterwards, repaired)
                        .isZero();
            }
            Files.delete(image);
        }
    }
}
