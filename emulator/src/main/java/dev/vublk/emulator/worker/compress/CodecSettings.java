// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import static java.util.Objects.requireNonNull;

import dev.vublk.blockdev.codec.BlockCodec;

/**
 * How a {@link CodecEngine} is to be.
 *
 * @param codec the compressed form
 * @param level for encoding; see {@link BlockCodec#levelDefault}
 * @param threads how many workers, 1 to {@link #THREADS_MAX}
 * @param blockBytes the largest uncompressed block
 * @param encodedBytesMax the largest compressed block that can be taken for decoding
 * @param blocksMax how many blocks there are at most, in work or in the caller's hands; each has two buffers
 * @param busyPolicy what to do when all workers are busy
 * @param ordered whether results come in the order of submission, as streams need them
 */
public record CodecSettings(
        BlockCodec codec,
        int level,
        int threads,
        int blockBytes,
        int encodedBytesMax,
        int blocksMax,
        BusyPolicy busyPolicy,
        boolean ordered) {

    /** Arbitrary; far more than helps. */
    public static final int THREADS_MAX = 256;

    public CodecSettings {
        requireNonNull(codec, "codec");
        requireNonNull(busyPolicy, "busyPolicy");
        if (threads < 1 || threads > THREADS_MAX) {
            throw new IllegalArgumentException("threads " + threads + " is not within 1-" + THREADS_MAX);
        }
        if (blockBytes < 1 || encodedBytesMax < 1) {
            throw new IllegalArgumentException("block of " + blockBytes + " bytes, encoded " + encodedBytesMax);
        }
        if (blocksMax < 1) {
            throw new IllegalArgumentException("blocksMax " + blocksMax);
        }
    }

    /** With the codec's default level, room for what every worker can have and some more, policy WAIT, in any order. */
    public static CodecSettings of(BlockCodec codec, int threads, int blockBytes) {
        return new CodecSettings(
                codec,
                codec.levelDefault(),
                threads,
                blockBytes,
                codec.encodedBytesMax(blockBytes),
                defaultBlocks(threads),
                BusyPolicy.WAIT,
                false);
    }

    /** A full ring and one in work for each worker, and as many results as may wait while the caller writes one. */
    private static int defaultBlocks(int threads) {
        return threads * (CodecWorker.RING_CAPACITY + 2) + 4;
    }

    public CodecSettings withLevel(int newLevel) {
        return new CodecSettings(codec, newLevel, threads, blockBytes, encodedBytesMax, blocksMax, busyPolicy, ordered);
    }

    public CodecSettings withEncodedBytesMax(int newEncodedBytesMax) {
        return new CodecSettings(codec, level, threads, blockBytes, newEncodedBytesMax, blocksMax, busyPolicy, ordered);
    }

    public CodecSettings withBlocksMax(int newBlocksMax) {
        return new CodecSettings(codec, level, threads, blockBytes, encodedBytesMax, newBlocksMax, busyPolicy, ordered);
    }

    public CodecSettings withBusyPolicy(BusyPolicy newBusyPolicy) {
        return new CodecSettings(codec, level, threads, blockBytes, encodedBytesMax, blocksMax, newBusyPolicy, ordered);
    }

    public CodecSettings withOrdered(boolean newOrdered) {
        return new CodecSettings(codec, level, threads, blockBytes, encodedBytesMax, blocksMax, busyPolicy, newOrdered);
    }
}
