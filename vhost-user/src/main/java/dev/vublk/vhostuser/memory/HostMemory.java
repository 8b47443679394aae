// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Access to this process's memory by address. The caller has checked the address: there is no check here, and a wrong
 * address ends the process. Any thread.
 *
 * <p>One global segment is used for everything: measured within 5 % of {@code Unsafe}, and faster than a segment per
 * region. Memory of a guest that was truncated under us raises {@link InternalError}, at {@link #awaitFault} at the latest.
 * Values are little-endian as the virtio specification demands, stated here rather than assumed.
 */
public final class HostMemory {
    @SuppressWarnings("restricted") // The one place where addresses become memory.
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT_UNALIGNED =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG_UNALIGNED =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle SHORT_HANDLE = SHORT.varHandle();
    private static final VarHandle BYTE_HANDLE = ValueLayout.JAVA_BYTE.varHandle();
    private static final VarHandle INT_HANDLE =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle LONG_HANDLE = LONG.varHandle();

    /** Two; not a constant, or the compiler would see through the loop in {@link #awaitFault}. */
    @SuppressWarnings("FieldMayBeFinal")
    private static volatile int faultRounds = 2;

    private HostMemory() {}

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

    public static byte getByte(long address) {
        return ALL.get(ValueLayout.JAVA_BYTE, address);
    }

    public static void putByte(long address, byte value) {
        ALL.set(ValueLayout.JAVA_BYTE, address, value);
    }

    /** As {@link #putByte}, ordered after every earlier access of this thread. */
    public static void putByteRelease(long address, byte value) {
        BYTE_HANDLE.setRelease(ALL, address, value);
    }

    /** An unsigned 16-bit value; {@code address} is even. */
    public static int getU16(long address) {
        return ALL.get(SHORT, address) & 0xffff;
    }

    public static void putU16(long address, int value) {
        ALL.set(SHORT, address, (short) value);
    }

    /** As {@link #getU16}, ordered before every later access of this thread. */
    public static int getU16Acquire(long address) {
        return (short) SHORT_HANDLE.getAcquire(ALL, address) & 0xffff;
    }

    /** As {@link #putU16}, ordered after every earlier access of this thread. */
    public static void putU16Release(long address, int value) {
        SHORT_HANDLE.setRelease(ALL, address, (short) value);
    }

    public static int getInt(long address) {
        return ALL.get(INT_UNALIGNED, address);
    }

    public static void putInt(long address, int value) {
        ALL.set(INT_UNALIGNED, address, value);
    }

    /** As {@link #getInt}, ordered before every later access of this thread; {@code address} is a multiple of four. */
    public static int getIntAcquire(long address) {
        return (int) INT_HANDLE.getAcquire(ALL, address);
    }

    /** As {@link #putInt}, ordered after every earlier access of this thread; {@code address} is a multiple of four. */
    public static void putIntRelease(long address, int value) {
        INT_HANDLE.setRelease(ALL, address, value);
    }

    public static long getLong(long address) {
        return ALL.get(LONG_UNALIGNED, address);
    }

    public static void putLong(long address, long value) {
        ALL.set(LONG_UNALIGNED, address, value);
    }

    /** As {@link #getLong}, in one piece and ordered before every later access; {@code address} is a multiple of 8. */
    public static long getLongAcquire(long address) {
        return (long) LONG_HANDLE.getAcquire(ALL, address);
    }

    /** As {@link #putLong}, in one piece and ordered after every earlier access; {@code address} is a multiple of 8. */
    public static void putLongRelease(long address, long value) {
        LONG_HANDLE.setRelease(ALL, address, value);
    }

    /**
     * Sets the bits of {@code mask} in the long at an 8-byte aligned address, atomically against other processes too. The
     * memory must not be able to vanish: the JVM would end here.
     */
    public static void orLong(long address, long mask) {
        LONG_HANDLE.getAndBitwiseOr(ALL, address, mask);
    }

    /** Copies bytes out of memory. */
    public static void copyOut(long address, byte[] target, int targetOffset, int lengthBytes) {
        MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, address, target, targetOffset, lengthBytes);
    }

    /** Copies bytes into memory. */
    public static void copyIn(byte[] source, int sourceOffset, long address, int lengthBytes) {
        MemorySegment.copy(source, sourceOffset, ALL, ValueLayout.JAVA_BYTE, address, lengthBytes);
    }

    /** Copies between two places that do not overlap. */
    public static void copy(long sourceAddress, long targetAddress, long lengthBytes) {
        MemorySegment.copy(ALL, sourceAddress, ALL, targetAddress, lengthBytes);
    }

    /** Fills memory with one byte value. */
    public static void fill(long address, long lengthBytes, byte value) {
        ALL.asSlice(address, lengthBytes).fill(value);
    }
}
