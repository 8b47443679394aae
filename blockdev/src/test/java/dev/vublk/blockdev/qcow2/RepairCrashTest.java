// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.testing.Shell;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Power cuts in the middle of repairs and resizes, and what hostile metadata does to a check. */
class RepairCrashTest {
    private static final int ROUNDS = Integer.getInteger("vublk.check.rounds", 6);

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeQemuTools();
    }

    private byte[] content(Path image) throws IOException {
        Path raw = directory.resolve("content.raw");
        Shell.check("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image.toString(), raw.toString());
        return Files.readAllBytes(raw);
    }

    private static Qcow2CheckResult repair(Path image) throws IOException {
        try (OfflineFile file = OfflineFile.open(image.toString(), true, false)) {
            return Qcow2Repair.run(file, Qcow2Repair.Mode.ALL, finding -> {});
        }
    }

    /** A change of an image. */
    private interface Change {
        void make(OfflineFile file) throws IOException;
    }

    /** Makes a change whose power fails before its n-th write; whether it failed. */
    private boolean cut(Path image, Path left, int writes, Random random, Change change) throws IOException {
        Path copy = directory.resolve("copy.qcow2");
        Files.copy(image, copy, StandardCopyOption.REPLACE_EXISTING);
        try (OfflineFile file = OfflineFile.open(copy.toString(), true, false)) {
            PowerCutFile unsure = new PowerCutFile(file, writes, random);
            try {
                change.make(unsure);
                unsure.leave(left);
                return false;
            } catch (PowerCutFile.PowerCut expected) {
                unsure.leave(left);
                return true;
            }
        }
    }

    @Test
    void shouldRepairAfterAnInterruptedRepair() throws IOException {
        int cuts = 0;
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.check.seed", new Random().nextLong());
            Random random = new Random(seed);
            Path image = directory.resolve("damaged.qcow2");
            RandomImage.make(image, random);
            Damage damage = Damage.of(image, random);
            if (!damage.isRepairable()) {
                continue;
            }
            byte[] before = content(image);
            Path left = directory.resolve("left.qcow2");
            int writes = 0;
            while (cut(image, left, writes, random, file -> Qcow2Repair.run(file, Qcow2Repair.Mode.ALL, f -> {}))) {
                String what = "seed " + seed + ", " + damage + ", cut before write " + writes;
                assertThat(content(left)).as(what).isEqualTo(before);
                assertThat(repair(left).isClean()).as(what).isTrue();
                assertThat(QemuCheck.of(left).status()).as(what).isZero();
                assertThat(content(left)).as(what).isEqualTo(before);
                writes += 1 + writes / 8;
                cuts++;
            }
            Files.delete(image);
        }
        assertThat(cuts).isPositive();
    }

    @Test
    void shouldHaveOneSizeOrTheOtherAfterAnInterruptedResize() throws IOException {
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.check.seed", new Random().nextLong());
            Random random = new Random(seed);
            Path image = directory.resolve("image.qcow2");
            Files.deleteIfExists(image);
            String options =
                    "cluster_size=" + (512 << random.nextInt(4)) + ",refcount_bits=" + (1 << random.nextInt(7));
            Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), "3M");
            Shell.check("qemu-io", "-c", "write -P 1 0 1M", "-c", "write -P 2 2500k 500k", image.toString());
            byte[] before = content(image);
            long newBytes = random.nextBoolean() ? 40 << 20 : 512L * (1 + random.nextInt(6000));
            Path left = directory.resolve("left.qcow2");
            int writes = 0;
            while (cut(image, left, writes, random, file -> Qcow2Resize.run(file, newBytes))) {
                String what = "seed " + seed + ", " + options + ", to " + newBytes + ", cut before write " + writes;
                assertThat(QemuCheck.of(left).status()).as(what).isIn(0, 3);
                byte[] after = content(left);
                assertThat((long) after.length).as(what).isIn((long) before.length, newBytes);
                assertThat(after).as(what).isEqualTo(Arrays.copyOf(before, after.length));
                writes++;
            }
            assertThat(QemuCheck.of(left).status()).isZero();
            assertThat((long) content(left).length).isEqualTo(newBytes);
        }
    }

    @Test
    void shouldSurviveHostileMetadata() throws IOException {
        int checked = 0;
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.check.seed", new Random().nextLong());
            Random random = new Random(seed);
            Path image = directory.resolve("image.qcow2");
            RandomImage.make(image, random);
            byte[] sound = Files.readAllBytes(image);
            for (int i = 0; i < 40; i++) {
                byte[] hostile =
                        random.nextInt(8) == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
                for (int n = random.nextInt(20); n >= 0 && hostile.length > 0; n--) {
                    int at =
                            random.nextInt(Math.min(hostile.length, random.nextInt(8) == 0 ? hostile.length : 1 << 18));
                    hostile[at] = (byte) random.nextInt(256);
                }
                Files.write(image, hostile);
                try {
                    repair(image);
                    checked++;
                } catch (IOException refused) {
                    assertThat(refused).as("seed %d", seed).hasMessageStartingWith(image.toString());
                }
            }
            Files.delete(image);
        }
        assertThat(checked).isPositive();
    }
}
