// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;

/** Blocks of many kinds, by seed. */
final class TestData {
    static final int KINDS = 9;

    private static final String[] WORDS = {
        "the ", "block ", "of ", "a ", "queue ", "int ", "return ", "=", "; ", "\n", "{", "}", "()", "0x1f", "deflate "
    };

    private TestData() {}

    static byte[] of(int kind, int lengthBytes, Random random) {
        byte[] data = new byte[lengthBytes];
        switch (kind) {
            case 0 -> {} // zeroes
            case 1 -> random.nextBytes(data);
            case 2 -> text(data, random);
            case 3 -> skewed(data, random);
            case 4 -> runs(data, random);
            case 5 -> repeats(data, random, 1 + random.nextInt(5000));
            case 6 -> records(data, random);
            case 7 -> mixed(data, random);
            default -> constant(data, (byte) random.nextInt());
        }
        return data;
    }

    static CodecBuffer buffer(byte[] data) {
        CodecBuffer buffer = new CodecBuffer(data.length);
        NativeMemory.put(data, 0, buffer.address(), data.length);
        return buffer;
    }

    static byte[] bytes(CodecBuffer buffer, int lengthBytes) {
        byte[] data = new byte[lengthBytes];
        NativeMemory.get(buffer.address(), data, 0, lengthBytes);
        return data;
    }

    private static void text(byte[] data, Random random) {
        for (int at = 0; at < data.length; ) {
            byte[] word = WORDS[random.nextInt(WORDS.length)].getBytes(StandardCharsets.US_ASCII);
            int part = Math.min(word.length, data.length - at);
            System.arraycopy(word, 0, data, at, part);
            at += part;
        }
    }

    /** So skewed that codes become longer than deflate permits. */
    private static void skewed(byte[] data, Random random) {
        for (int i = 0; i < data.length; i++) {
            int value = 0;
            while (value < 255 && random.nextInt(5) < 2) {
                value++;
            }
            data[i] = (byte) (value * 37);
        }
    }

    private static void runs(byte[] data, Random random) {
        for (int at = 0; at < data.length; ) {
            int end = Math.min(data.length, at + 1 + random.nextInt(700));
            byte value = (byte) random.nextInt(4);
            while (at < end) {
                data[at++] = value;
            }
        }
    }

    private static void repeats(byte[] data, Random random, int period) {
        for (int i = 0; i < data.length; i++) {
            data[i] = i < period ? (byte) random.nextInt() : data[i - period];
        }
    }

    private static void records(byte[] data, Random random) {
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) (i % 16 < 3 ? random.nextInt(256) : i % 16 < 8 ? i >>> 10 : 0);
        }
    }

    private static void mixed(byte[] data, Random random) {
        for (int at = 0; at < data.length; ) {
            int part = Math.min(data.length - at, 1 + random.nextInt(20_000));
            byte[] piece = of(random.nextInt(7), part, random);
            System.arraycopy(piece, 0, data, at, part);
            at += part;
        }
    }

    private static void constant(byte[] data, byte value) {
        Arrays.fill(data, value);
    }
}
