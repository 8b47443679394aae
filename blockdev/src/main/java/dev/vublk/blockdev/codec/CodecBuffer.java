// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.ByteBuffer;

/**
 * Native memory that codecs read from and write to. Used by one thread at a time.
 *
 * <p>It begins at a page, as O_DIRECT wants it. Behind its capacity follow {@link #SLACK_BYTES} more that may be read and
 * written without meaning, so that a codec can move eight bytes at a time up to the very end.
 */
public final class CodecBuffer implements AutoCloseable {
    /** Two words: what a wide load and a wide store may reach beyond the last byte. */
    static final int SLACK_BYTES = 16;

    private final int capacityBytes;
    private final long address;
    private final ByteBuffer bytes;
    private boolean closed;

    /** Of undefined content. Throws {@link OutOfMemoryError} when there is no memory. */
    public CodecBuffer(int capacityBytes) {
        if (capacityBytes < 0 || capacityBytes > Integer.MAX_VALUE - SLACK_BYTES - NativeMemory.PAGE_BYTES) {
            throw new IllegalArgumentException("capacityBytes " + capacityBytes);
        }
        this.capacityBytes = capacityBytes;
        address = NativeMemory.allocate(capacityBytes + SLACK_BYTES);
        if (address == 0) {
            throw new OutOfMemoryError("no memory for " + capacityBytes + " bytes");
        }
        bytes = NativeMemory.asByteBuffer(address, capacityBytes);
    }

    public long address() {
        return address;
    }

    public int capacityBytes() {
        return capacityBytes;
    }

    /** The same memory for libraries that want a direct buffer; whoever uses it sets position and limit first. */
    ByteBuffer bytes() {
        return bytes;
    }

    /** Throws {@link IndexOutOfBoundsException} unless the range is within the capacity. */
    public void checkRange(int offsetBytes, int lengthBytes) {
        if ((offsetBytes | lengthBytes) < 0 || lengthBytes > capacityBytes - offsetBytes) {
            throw new IndexOutOfBoundsException(
                    lengthBytes + " bytes from " + offsetBytes + " in a buffer of " + capacityBytes);
        }
    }

    /** Gives the memory back; once or more often, when no codec uses it. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            NativeMemory.free(address);
        }
    }
}
