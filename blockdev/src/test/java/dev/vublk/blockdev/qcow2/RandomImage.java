// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.testing.Shell;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** A qcow2 image with every kind of content, made by QEMU's programs from a seed. */
final class RandomImage {
    static final long SIZE_BYTES = 24 << 20;

    private RandomImage() {}

    /** Options for {@code qemu-img create -o}, without backing and data files. */
    static String options(Random random) {
        if (random.nextInt(8) == 0) {
            return "compat=0.10,cluster_size=" + (512 << random.nextInt(13));
        }
        boolean extended = random.nextInt(4) == 0;
        int clusterBytes = extended ? 16384 << random.nextInt(8) : 512 << random.nextInt(13);
        String options = "compat=1.1,cluster_size=" + clusterBytes + ",refcount_bits=" + (1 << random.nextInt(7));
        options += random.nextBoolean() ? ",lazy_refcounts=on" : "";
        options += extended ? ",extended_l2=on" : "";
        options += random.nextBoolean() ? ",compression_type=zstd" : "";
        return options;
    }

    /** Makes the image; the options used. */
    static String make(Path image, Random random) throws IOException {
        for (; ; ) {
            String options = tryToMake(image, random);
            if (Shell.run("qemu-img", "check", "-q", image.toString()).exitCode() == 0) {
                return options;
            }
            // QEMU 7.2 itself does not always succeed with compressed clusters of a few sectors.
        }
    }

    private static String tryToMake(Path image, Random random) throws IOException {
        String options = options(random);
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), SIZE_BYTES + "");
        write(image, random, 30);
        // Compressed clusters share one cluster of the file: small refcounts would be too small for a snapshot of them.
        int snapshots = options.matches(".*refcount_bits=[1248](,.*|)") ? 0 : random.nextInt(3);
        for (int i = 0; i < snapshots; i++) {
            Shell.run("qemu-img", "snapshot", "-c", "snapshot " + i, image.toString());
            write(image, random, 10);
        }
        if (options.startsWith("compat=1.1") && random.nextInt(3) == 0) {
            Shell.run("qemu-img", "bitmap", "--add", image.toString(), "bitmap0");
            write(image, random, 5);
        }
        return options;
    }

    /** Random writes of data, zeroes, compressed data, and discards. */
    static void write(Path image, Random random, int count) throws IOException {
        List<String> command = new ArrayList<>(List.of("qemu-io", "-f", "qcow2", "-d", "unmap"));
        for (int i = 0; i < count; i++) {
            long length = 512L * (1 + random.nextInt(256));
            long offset = 512L * random.nextLong((SIZE_BYTES - length) / 512);
            command.add("-c");
            command.add(
                    switch (random.nextInt(8)) {
                        case 0 -> "write -z " + offset + " " + length;
                        case 1 -> "write -z -u " + offset + " " + length;
                        case 2 -> "discard " + offset + " " + length;
                        case 3 -> {
                            long aligned = offset & -65536L;
                            yield "write -c -P " + (1 + random.nextInt(255)) + " " + aligned + " 65536";
                        }
                        default -> "write -P " + (1 + random.nextInt(255)) + " " + offset + " " + length;
                    });
        }
        command.add(image.toString());
        Shell.run(
                command.toArray(String[]::new)); // A compressed write of less than a cluster fails, which does no harm.
    }
}
