// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import dev.vublk.blockdev.codec.CodecBuffer;
import org.jspecify.annotations.Nullable;

/**
 * A block on its way through a {@link CodecEngine}, with a buffer for what goes in and one for what comes out. It belongs to
 * the submitter until it is submitted, and again once it is a result; it is used again after it was released.
 */
public final class CodecBlock {
    /** What has become of a block. */
    public enum Outcome {
        /** Nothing yet. */
        NONE,
        /** All zeroes. There is output only where the codec is a stream's. */
        ZERO,
        /** Compressed; the output is the codec's form. */
        COMPRESSED,
        /** No smaller form was found. */
        INCOMPRESSIBLE,
        /** No worker was free. */
        BUSY,
        /** Decompressed. */
        DECODED,
        /** What was to be decompressed is damaged; there is no output. */
        CORRUPT
    }

    private final CodecBuffer input;
    private final CodecBuffer output;
    private long tag;
    private int inputBytes;
    private int inputOffset;
    private int expectedBytes;
    long sequence;
    int outputBytes;
    Outcome outcome = Outcome.NONE;

    @Nullable
    Throwable failure;

    CodecBlock(int inputBytesMax, int outputBytesMax) {
        input = new CodecBuffer(inputBytesMax);
        output = new CodecBuffer(outputBytesMax);
    }

    /** Where the submitter puts what is to be compressed or decompressed. */
    public CodecBuffer input() {
        return input;
    }

    CodecBuffer output() {
        return output;
    }

    /** How much of {@link #input} there is. */
    public int inputBytes() {
        return inputBytes;
    }

    /** Where in {@link #input} it begins; always 0 for encoding. */
    public int inputOffset() {
        return inputOffset;
    }

    /** The most that decoding may make of it. */
    public int expectedBytes() {
        return expectedBytes;
    }

    /** Whatever the submitter wants to know again when the result comes, such as an offset. */
    public long tag() {
        return tag;
    }

    public void setTag(long newTag) {
        tag = newTag;
    }

    /** Before {@link CodecEngine#submit}, of an encoding engine: what there is to compress. */
    public void setInput(int lengthBytes) {
        input.checkRange(0, lengthBytes);
        inputOffset = 0;
        inputBytes = lengthBytes;
    }

    /** Before {@link CodecEngine#submit}, of a decoding engine: what there is to decompress, and the most that it may become. */
    public void setInput(int offsetBytes, int lengthBytes, int decodedBytesMax) {
        input.checkRange(offsetBytes, lengthBytes);
        output.checkRange(0, decodedBytesMax);
        inputOffset = offsetBytes;
        inputBytes = lengthBytes;
        expectedBytes = decodedBytesMax;
    }

    public Outcome outcome() {
        return outcome;
    }

    /** Where the result is: the output, or the input when the block is to be written as it is. */
    public long resultAddress() {
        return isRaw() ? input.address() : output.address();
    }

    /** How long the result is; 0 for zeroes that need not be written. */
    public int resultBytes() {
        return isRaw() ? inputBytes : outputBytes;
    }

    /** Whether the result is the block as it was, without any form of the codec. */
    public boolean isRaw() {
        return outputBytes < 0;
    }

    void reset() {
        tag = 0;
        inputBytes = 0;
        inputOffset = 0;
        expectedBytes = 0;
        outputBytes = 0;
        outcome = Outcome.NONE;
        failure = null;
    }

    void free() {
        input.close();
        output.close();
    }
}
