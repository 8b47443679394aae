// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Random;

/** Raw images of random parts: holes, stored zeroes, noise, text that compresses, single bytes in between. */
final class RandomImage {
    private static final int PART_BYTES_MAX = 300_000;

    private RandomImage() {}

    /** Makes an image of so many bytes, which may be any number. */
    static Path create(Path path, Random random, int sizeBytes) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            int at = 0;
            while (at < sizeBytes) {
                int length = Math.min(sizeBytes - at, 1 + random.nextInt(PART_BYTES_MAX));
                byte[] part = part(random, length);
                if (part.length > 0) {
                    file.write(ByteBuffer.wrap(part), at);
                }
                at += length;
            }
            if (file.size() < sizeBytes) {
                file.write(ByteBuffer.allocate(1), sizeBytes - 1);
            }
        }
        return path;
    }

    /** Overwrites some parts of an image. */
    static void change(Path path, Random random, int parts) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.WRITE)) {
            for (int i = 0; i < parts; i++) {
                int length = 1 + random.nextInt(PART_BYTES_MAX / 4);
                long at = random.nextLong(Math.max(1, file.size() - length));
                byte[] part = part(random, (int) Math.min(length, file.size() - at));
                file.write(ByteBuffer.wrap(part), at);
            }
        }
    }

    /** Empty for a hole. */
    private static byte[] part(Random random, int length) {
        byte[] bytes = new byte[length];
        switch (random.nextInt(6)) {
            case 0 -> {
                return new byte[0];
            }
            case 1 -> Arrays.fill(bytes, (byte) 0);
            case 2, 3 -> random.nextBytes(bytes);
            case 4 -> {
                byte[] words = "the quick brown fox jumps over the lazy dog, and "
                        .getBytes(java.nio.charset.StandardCharsets.US_ASCII);
                for (int i = 0; i < length; i++) {
                    bytes[i] = words[(i + i / 997) % words.length];
                }
            }
            default -> bytes[random.nextInt(length)] = 1;
        }
        return bytes;
    }
}
