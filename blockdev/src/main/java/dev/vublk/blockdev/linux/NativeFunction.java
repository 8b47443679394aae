// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * A function of the C library whose arguments are integers and addresses, at most seven. Any thread; a call allocates nothing.
 *
 * <p>All of them are called by one handle, which takes seven arguments: the virtual machine makes code for each shape of a call
 * at its first use, and that is what would take most of a short program's start. The Linux calling conventions of x86-64
 * and aarch64 pass integers and addresses in the same registers, variadic or not; those that a function does not know are
 * not its own to keep, and neither is the seventh's place on the stack.
 */
public final class NativeFunction {
    private static final Linker LINKER = Linker.nativeLinker();

    /** {@code long (*function)(...)} */
    private static final MethodHandle CALL = handle();

    private static final ValueLayout.OfInt ERRNO = ValueLayout.JAVA_INT;

    /** Where {@code errno} of a call is kept until it is looked at. */
    private static final ThreadLocal<MemorySegment> ERRNO_OF_THREAD =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(ERRNO));

    private final MemorySegment address;

    private NativeFunction(MemorySegment address) {
        this.address = address;
    }

    /** The function of that name; throws {@link java.util.NoSuchElementException} when there is none. */
    public static NativeFunction of(String name) {
        return new NativeFunction(LINKER.defaultLookup().findOrThrow(name));
    }

    @SuppressWarnings("restricted") // The one place where a function becomes a handle.
    private static MethodHandle handle() {
        MemoryLayout word = ValueLayout.JAVA_LONG;
        return LINKER.downcallHandle(
                FunctionDescriptor.of(word, word, word, word, word, word, word, word),
                Linker.Option.firstVariadicArg(1),
                Linker.Option.captureCallState("errno"));
    }

    /** What {@link #call(MemorySegment, long, long, long, long, long, long, long)} needs: four bytes that nobody else uses meanwhile. */
    @SuppressWarnings("restricted") // The address is its owner's.
    public static MemorySegment errnoAt(long address) {
        return MemorySegment.ofAddress(address).reinterpret(ERRNO.byteSize());
    }

    /** {@code errno} of the call before, with the same memory. */
    public static int errno(MemorySegment errno) {
        return errno.get(ERRNO, 0);
    }

    /** What the function returns; of an {@code int} the upper half is undefined. */
    public long call(MemorySegment errno, long a, long b, long c, long d, long e, long f, long g) {
        try {
            return (long) CALL.invokeExact(address, errno, a, b, c, d, e, f, g);
        } catch (Throwable t) {
            throw new IllegalStateException("call of a function", t);
        }
    }

    /** Of a function that returns an {@code int}: its result, or its errno negated when the result is -1. */
    int intOrErrno(long a, long b, long c, long d, long e) {
        MemorySegment errno = ERRNO_OF_THREAD.get();
        int result = (int) call(errno, a, b, c, d, e, 0, 0);
        return result == -1 ? -errno(errno) : result;
    }

    /** Of a function that returns a {@code long}: its result, or its errno negated when the result is -1. */
    long longOrErrno(long a, long b, long c, long d, long e, long f) {
        MemorySegment errno = ERRNO_OF_THREAD.get();
        long result = call(errno, a, b, c, d, e, f, 0);
        return result == -1 ? -errno(errno) : result;
    }

    /** Of a function that returns an address. */
    long address(long a, long b) {
        return call(ERRNO_OF_THREAD.get(), a, b, 0, 0, 0, 0, 0);
    }
}
