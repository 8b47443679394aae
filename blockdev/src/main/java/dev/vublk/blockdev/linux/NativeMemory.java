// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;

/**
 * Memory by plain address: what crosses this module's border are addresses, not segments. Any thread.
 *
 * <p>Addresses must be valid; only this module's own buffers and the caller's checked ranges are accessed. Touching a
 * page whose file was truncated under its mapping throws {@link InternalError}, at {@link #awaitFault} at the latest.
 *
 * <p>Blocks come from the C library and not from an {@code Arena}, whose memory counts against the JVM's direct-memory
 * limit and is zeroed page by page when allocated.
 */
public final class NativeMemory {
    /** Alignment of blocks: a page, which satisfies every O_DIRECT memory alignment known. */
    public static final int PAGE_BYTES = 4096;

    @SuppressWarnings("restricted") // one window over the whole address space; callers pass checked addresses
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    /** Two; not a constant, or the compiler would see through the loop in {@link #awaitFault}. */
    @SuppressWarnings("FieldMayBeFinal")
    private static volatile int faultRounds = 2;

    private NativeMemory() {}

    /**
     * Throws the {@link InternalError} of an access before, if there was a fault. In compiled code a fault is not thrown where it
     * happens but where the thread next looks for what it has to do, which may be in a caller that expects nothing. Such a place
     * is the end of each round of a loop of unknown length; so this goes round once more. Costs about a nanosecond.
     */
    public static void awaitFault() {
        int round = 0;
        do {
            round++;
        } while (round < faultRounds);
    }

    /** A new block of unspecified content, page-aligned; 0 when there is no memory. */
    public static long allocate(long lengthBytes) {
        return LibC.aligned_alloc(PAGE_BYTES, (lengthBytes + PAGE_BYTES - 1) & -PAGE_BYTES);
    }

    /** A new zeroed block; throws {@link OutOfMemoryError} when there is no memory. For setup code. */
    public static long allocateZeroed(long lengthBytes) {
        long address = allocate(lengthBytes);
        if (address == 0) {
            throw new OutOfMemoryError("no memory for " + lengthBytes + " bytes");
        }
        zero(address, lengthBytes);
        return address;
    }

    public static void free(long address) {
        LibC.free(address);
    }

    public static void copy(long sourceAddress, long targetAddress, long lengthBytes) {
        MemorySegment.copy(ALL, sourceAddress, ALL, targetAddress, lengthBytes);
    }

    /** Both are memory of our own: a fault in here, unlike one in {@link #copy}, would end the process. */
    public static boolean equals(long firstAddress, long secondAddress, long lengthBytes) {
        return MemorySegment.mismatch(
                        ALL, firstAddress, firstAddress + lengthBytes, ALL, secondAddress, secondAddress + lengthBytes)
                < 0;
    }

    public static void zero(long address, long lengthBytes) {
        ALL.asSlice(address, lengthBytes).fill((byte) 0);
    }

    /** The same memory as a direct buffer; the buffer does not keep it from being freed. */
    public static ByteBuffer asByteBuffer(long address, int lengthBytes) {
        return ALL.asSlice(address, lengthBytes).asByteBuffer();
    }

    public static byte getByte(long address) {
        return ALL.get(ValueLayout.JAVA_BYTE, address);
    }

    public static void putByte(long address, byte value) {
        ALL.set(ValueLayout.JAVA_BYTE, address, value);
    }

    public static short getShort(long address) {
        return ALL.get(ValueLayout.JAVA_SHORT_UNALIGNED, address);
    }

    public static void putShort(long address, short value) {
        ALL.set(ValueLayout.JAVA_SHORT_UNALIGNED, address, value);
    }

    public static int getInt(long address) {
        return ALL.get(ValueLayout.JAVA_INT_UNALIGNED, address);
    }

    public static void putInt(long address, int value) {
        ALL.set(ValueLayout.JAVA_INT_UNALIGNED, address, value);
    }

    public static long getLong(long address) {
        return ALL.get(ValueLayout.JAVA_LONG_UNALIGNED, address);
    }

    public static void putLong(long address, long value) {
        ALL.set(ValueLayout.JAVA_LONG_UNALIGNED, address, value);
    }

    /** Copies from native memory into an array. */
    public static void get(long address, byte[] target, int targetIndex, int lengthBytes) {
        MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, address, target, targetIndex, lengthBytes);
    }

    /** Copies from an array into native memory. */
    public static void put(byte[] source, int sourceIndex, long address, int lengthBytes) {
        MemorySegment.copy(source, sourceIndex, ALL, ValueLayout.JAVA_BYTE, address, lengthBytes);
    }
}
