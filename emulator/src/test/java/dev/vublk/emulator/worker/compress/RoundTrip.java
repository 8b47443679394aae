// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.worker.compress.CodecBlock.Outcome;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * An engine that compresses and one that decompresses what comes out of it, in random steps. Each block's content follows from
 * its number, so that a block that was published too early, lost, doubled or torn is seen.
 */
final class RoundTrip implements AutoCloseable {
    private final CodecSettings settings;
    private final Random random;
    private final String name;
    private final CodecEngine encoder;
    private final CodecEngine decoder;
    private long encoded;
    private long decoded;
    private long sum;

    RoundTrip(CodecSettings settings, Random random, String name) {
        this.settings = settings;
        this.random = random;
        this.name = name;
        encoder = CodecEngine.encoding(settings);
        decoder = CodecEngine.decoding(settings.withBusyPolicy(BusyPolicy.WAIT));
    }

    void run(int blocks) {
        for (int number = 0; number < blocks; ) {
            CodecBlock block = encoder.tryAcquire();
            if (block == null) {
                onEncoded(encoder.take());
                continue;
            }
            int length = 1 + random.nextInt(settings.blockBytes());
            fill(block.input().address(), length, number);
            block.setInput(length);
            block.setTag((long) number << 32 | length);
            encoder.submit(block);
            number++;
            while (random.nextInt(4) != 0 && onEncoded(encoder.poll())) {
                // Some of the results.
            }
        }
        while (onEncoded(encoder.take())) {
            // All.
        }
        while (onDecoded(decoder.take())) {
            // All.
        }
        assertThat(encoded).as(name).isEqualTo(blocks);
        assertThat(decoded).as(name).isEqualTo(blocks);
        assertThat(sum).as(name).isEqualTo((long) blocks * (blocks - 1)); // each number once on either side
        CodecStats stats = encoder.stats();
        assertThat(stats.blocks()).as(name).isEqualTo(blocks);
        assertThat(stats.zeroBlocks() + stats.compressedBlocks() + stats.incompressibleBlocks() + stats.busyBlocks())
                .as(name)
                .isEqualTo(blocks);
        assertThat(stats.busyBlocks() == 0 || settings.busyPolicy() == BusyPolicy.STORE)
                .as(name)
                .isTrue();
    }

    private boolean onEncoded(@Nullable CodecBlock block) {
        if (block == null) {
            return false;
        }
        int number = (int) (block.tag() >>> 32);
        int length = (int) block.tag();
        assertThat(!settings.ordered() || number == encoded).as(name).isTrue();
        encoded++;
        sum += number;
        if (block.isRaw() || block.resultBytes() == 0) {
            assertThat(block.outcome() == Outcome.ZERO).as(name).isEqualTo(kind(number) == 0);
            assertThat(block.isRaw() ? isRight(block.resultAddress(), length, number) : kind(number) == 0)
                    .as(name)
                    .isTrue();
            decoded++;
            sum += number;
        } else {
            decode(block, length);
        }
        encoder.release(block);
        return true;
    }

    private void decode(CodecBlock block, int length) {
        CodecBlock packed = decoder.tryAcquire();
        while (packed == null) {
            onDecoded(decoder.take());
            packed = decoder.tryAcquire();
        }
        int offset = random.nextInt(packed.input().capacityBytes() - block.resultBytes() + 1);
        NativeMemory.copy(block.resultAddress(), packed.input().address() + offset, block.resultBytes());
        packed.setInput(offset, block.resultBytes(), length);
        packed.setTag(block.tag());
        decoder.submit(packed);
    }

    private boolean onDecoded(@Nullable CodecBlock block) {
        if (block == null) {
            return false;
        }
        int number = (int) (block.tag() >>> 32);
        int length = (int) block.tag();
        assertThat(block.outcome()).as(name).isEqualTo(Outcome.DECODED);
        assertThat(block.resultBytes()).as(name).isEqualTo(length);
        assertThat(isRight(block.resultAddress(), length, number)).as(name).isTrue();
        decoded++;
        sum += number;
        decoder.release(block);
        return true;
    }

    private static int kind(int number) {
        return number % 4;
    }

    private static void fill(long address, int length, int number) {
        for (int i = 0; i < length; i++) {
            NativeMemory.putByte(address + i, byteAt(i, number));
        }
    }

    private static boolean isRight(long address, int length, int number) {
        for (int i = 0; i < length; i++) {
            if (NativeMemory.getByte(address + i) != byteAt(i, number)) {
                return false;
            }
        }
        return true;
    }

    /** Zeroes, few symbols, repeated numbers, noise. */
    private static byte byteAt(int index, int number) {
        return (byte)
                switch (kind(number)) {
                    case 0 -> 0;
                    case 1 -> number + index % 3 + 1;
                    case 2 -> (number >>> ((index & 3) * 8)) | 1;
                    default -> (((index + 1) * 0x9E3779B1 ^ number * 0x85EBCA6B) >>> 24) | 1;
                };
    }

    @Override
    public void close() {
        encoder.close();
        decoder.close();
    }
}
