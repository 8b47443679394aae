// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.aot;

import dev.vublk.tools.Main;
import dev.vublk.tools.cli.ShortCommand;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;

/**
 * Short commands one after the other in one virtual machine, which keeps what they load in its cache: what they do with small images of
 * its own. One thread.
 */
public final class TrainingRun {
    private static final int DATA_BYTES = 8 << 20;
    private static final int DISK_BYTES = 2 * DATA_BYTES;

    private TrainingRun() {}

    /**
     * {@code TrainingRun tools|codecs DIRECTORY}: what neither compresses nor writes JSON, or all of it; and an empty directory to
     * work in.
     */
    public static void main(String[] args) throws IOException {
        Path directory = Path.of(args[1]);
        Objects.requireNonNull(Main.class.getName()); // is kept as well
        Path raw = directory.resolve("raw");
        fill(raw);
        String image = raw.toString();
        String qcow2 = directory.resolve("qcow2").toString();
        String copy = directory.resolve("copy").toString();
        run("convert", "-f", "raw", "-O", "qcow2", image, qcow2);
        run("convert", "-f", "qcow2", "-O", "raw", "-m", "2", qcow2, copy);
        run("convert", image, copy); // replaces what is there
        run("compare", image, qcow2);
        run("check", qcow2);
        run("info", image);
        run("info", qcow2);
        run("map", qcow2);
        if (args[0].equals("codecs")) {
            trainCodecs(image, qcow2, copy);
        }
    }

    private static void trainCodecs(String image, String qcow2, String copy) {
        run("map", "--output=json", image);
        run("convert", "-c", "-O", "qcow2", image, qcow2);
        run("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", image, qcow2);
        run("convert", qcow2, copy);
    }

    private static void run(String... command) {
        int status = ShortCommand.run(command);
        if (status != 0) {
            throw new IllegalStateException("vublk " + String.join(" ", command) + ": exit status " + status);
        }
    }

    /** Data of every kind: noise, a pattern, zeroes and holes. */
    private static void fill(Path raw) throws IOException {
        byte[] bytes = new byte[DATA_BYTES];
        new Random(1).nextBytes(bytes); // any seed would do
        for (int i = DATA_BYTES / 4; i < DATA_BYTES / 2; i++) {
            bytes[i] = (byte) (i >> 8);
        }
        Arrays.fill(bytes, DATA_BYTES / 2, DATA_BYTES / 4 * 3, (byte) 0);
        Files.write(raw, bytes);
        try (FileChannel channel = FileChannel.open(raw, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(1), DISK_BYTES - 1);
        }
    }
}
