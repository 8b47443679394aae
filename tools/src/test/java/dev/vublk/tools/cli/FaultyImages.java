// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.faulty.FaultyDirectory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import picocli.CommandLine;

/**
 * Images of one disk in every format (one has only its beginning), in a directory whose files can fail; commands that work on
 * them, with {@code @} for the directory. Whoever looks at what they leave meets no errors.
 */
final class FaultyImages implements AutoCloseable {
    static final int DISK_BYTES = (1 << 20) + (192 << 10) + 512;

    /** Of the one in clusters of 512 bytes. */
    static final int SMALL_BYTES = 64 << 10;

    private static final List<String> NAMES =
            List.of("raw.img", "disk.qcow2", "small.qcow2", "packed.qcow2", "base.img", "middle.qcow2", "top.qcow2");

    /** In a qcow2 image's header. */
    private static final int REFCOUNT_TABLE_OFFSET_AT = 48;

    private static final int HOLE_FROM = 300 << 10;
    private static final int HOLE_TO = 700 << 10;

    private final FaultyDirectory directory;
    private final Path plain;
    private final Map<String, byte[]> images = new TreeMap<>();
    private final byte[] disk = new byte[DISK_BYTES];

    /** Set up once: that takes longer than most runs. */
    private final CommandLine line = VublkCommand.commandLine();

    /** @param plain a directory without errors */
    FaultyImages(FaultyDirectory directory, Path plain) throws Exception {
        this.directory = directory;
        this.plain = plain;
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("seed " + seed);
        new Random(seed).nextBytes(disk);
        Arrays.fill(disk, HOLE_FROM, HOLE_TO, (byte) 0);
        Arrays.fill(disk, 768 << 10, 1 << 20, (byte) 'x');
        Path raw = Files.write(plain.resolve("raw.img"), disk);
        QemuImg.run("convert", "-O", "qcow2", raw.toString(), file("disk.qcow2"));
        Files.write(plain.resolve("small.img"), Arrays.copyOf(disk, SMALL_BYTES));
        QemuImg.run("convert", "-O", "qcow2", "-o", "cluster_size=512", file("small.img"), file("small.qcow2"));
        QemuImg.run("convert", "-c", "-O", "qcow2", raw.toString(), file("packed.qcow2"));
        Files.write(plain.resolve("base.img"), Arrays.copyOf(disk, 512 << 10));
        QemuImg.run(
                "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.img", file("middle.qcow2"), "" + DISK_BYTES);
        HostCommand.run("qemu-io", "-c", "write -P 120 768k 256k", file("middle.qcow2"));
        // Only what differs: the rest stays in the other two.
        CapturedRun top = CapturedRun.of(
                "convert", "-O", "qcow2", "-B", "middle.qcow2", "-F", "qcow2", file("raw.img"), file("top.qcow2"));
        assertThat(top.status()).as(top.toString()).isZero();
        QemuImg.run("compare", file("raw.img"), file("top.qcow2"));
        for (String each : NAMES) {
            images.put(each, Files.readAllBytes(plain.resolve(each)));
        }
        reset();
    }

    private String file(String name) {
        return plain.resolve(name).toString();
    }

    /** Everything as it was in the beginning, and nothing fails. */
    void reset() {
        directory.clear();
        images.forEach(directory::put);
    }

    FaultyDirectory directory() {
        return directory;
    }

    /** What every image reads as. */
    byte[] disk() {
        return disk.clone();
    }

    byte[] original(String name) {
        return Objects.requireNonNull(images.get(name), name).clone();
    }

    CapturedRun run(String command) {
        return CapturedRun.of(line, command.replace("@", directory.path() + "/").split(" "));
    }

    /** What an image reads as, by a copy of its file that does not fail. */
    byte[] read(String name) throws IOException {
        Path copy = Files.write(plain.resolve("copy-" + name), directory.content(name));
        Path raw = plain.resolve("read.img");
        CapturedRun run = CapturedRun.of(line, "convert", "-m", "1", "-t", "unsafe", copy.toString(), raw.toString());
        assertThat(run.status()).as(run.toString()).isZero();
        return Files.readAllBytes(raw);
    }

    /**
     * Damages a qcow2 image: a cluster counts as used that nobody uses.
     *
     * @param corrupt whether another one counts as free besides that somebody uses
     */
    void damage(String name, boolean corrupt) {
        byte[] content = directory.content(name);
        ByteBuffer image = ByteBuffer.wrap(content);
        int block = (int) image.getLong((int) image.getLong(REFCOUNT_TABLE_OFFSET_AT));
        int free = 0;
        while (image.getShort(block + 2 * free) != 0) {
            free++;
        }
        image.putShort(block + 2 * free, (short) 1);
        if (corrupt) {
            image.putShort(block + 2 * (free - 1), (short) 0);
        }
        directory.put(name, content);
    }

    /** Files that are there besides the images. */
    List<String> others() {
        return directory.files().stream()
                .filter(name -> !images.containsKey(name))
                .toList();
    }

    /** Every image is what it was, to the byte. */
    void assertUntouched(String... exceptions) {
        for (Map.Entry<String, byte[]> each : images.entrySet()) {
            if (!List.of(exceptions).contains(each.getKey())) {
                assertThat(Arrays.equals(directory.content(each.getKey()), each.getValue()))
                        .as(each.getKey() + " is as it was")
                        .isTrue();
            }
        }
    }

    @Override
    public void close() {
        directory.close();
    }
}
