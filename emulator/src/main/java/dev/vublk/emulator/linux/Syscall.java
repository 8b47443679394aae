// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * syscall(2) by number, for calls that libc has no function for. Any thread; allocates nothing.
 *
 * <p>By a downcall handle and not by jnr-ffi, whose {@code syscall} with its seven arguments allocates 72 bytes a call.
 */
final class Syscall {
    /** {@code long syscall(long number, ...)} */
    private static final MethodHandle SYSCALL = handle();

    private static final ValueLayout.OfInt ERRNO = ValueLayout.JAVA_INT;

    private Syscall() {}

    @SuppressWarnings("restricted") // The one place where a function becomes a handle.
    private static MethodHandle handle() {
        Linker linker = Linker.nativeLinker();
        ValueLayout word = ValueLayout.JAVA_LONG;
        return linker.downcallHandle(
                linker.defaultLookup().findOrThrow("syscall"),
                FunctionDescriptor.of(word, word, word, word, word, word, word, word),
                Linker.Option.firstVariadicArg(1),
                Linker.Option.captureCallState("errno"));
    }

    /** What {@link #call} needs for {@code errno}: four bytes at {@code address}, which nobody else uses meanwhile. */
    @SuppressWarnings("restricted") // The address is its owner's.
    static MemorySegment errnoAt(long address) {
        return MemorySegment.ofAddress(address).reinterpret(ERRNO.byteSize());
    }

    /** The call's result, or its errno negated when the result is -1. */
    static int call(MemorySegment errno, long number, long a, long b, long c, long d, long e, long f) {
        long result;
        try {
            result = (long) SYSCALL.invokeExact(errno, number, a, b, c, d, e, f);
        } catch (Throwable t) {
            throw new IllegalStateException("system call " + number, t);
        }
        return result == -1 ? -errno.get(ERRNO, 0) : (int) result;
    }
}
