// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import dev.vublk.blockdev.linux.NativeFunction;
import java.lang.foreign.MemorySegment;

/**
 * syscall(2) by number, for calls that libc has no function for. Any thread; allocates nothing.
 *
 * <p>Not by jnr-ffi, whose {@code syscall} with its seven arguments allocates 72 bytes a call.
 */
final class Syscall {
    /** {@code long syscall(long number, ...)} */
    private static final NativeFunction SYSCALL = NativeFunction.of("syscall");

    private Syscall() {}

    /** What {@link #call} needs for {@code errno}: four bytes at {@code address}, which nobody else uses meanwhile. */
    static MemorySegment errnoAt(long address) {
        return NativeFunction.errnoAt(address);
    }

    /** The call's result, or its errno negated when the result is -1. */
    static int call(MemorySegment errno, long number, long a, long b, long c, long d, long e, long f) {
        long result = SYSCALL.call(errno, number, a, b, c, d, e, f);
        return result == -1 ? -NativeFunction.errno(errno) : (int) result;
    }
}
