// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import jnr.ffi.LibraryLoader;
import jnr.ffi.Pointer;

/**
 * The libc functions that this module calls. Addresses are plain longs, so that a call allocates nothing.
 *
 * <p>jnr-ffi's x86-64 stubs pass garbage as the sixth integer argument of a six-argument call when all are primitive, so
 * such a function declares one parameter as {@link Pointer} ({@code mmap}); a unit test guards this.
 */
interface LibC {
    LibC INSTANCE = LibraryLoader.create(LibC.class).load("c");
    jnr.ffi.Runtime RUNTIME = jnr.ffi.Runtime.getRuntime(INSTANCE);

    int eventfd(int initialValue, int flags);

    long read(int fd, long bufferAddress, long lengthBytes);

    long write(int fd, long bufferAddress, long lengthBytes);

    int close(int fd);

    /** A call's result, or its errno negated when the result is -1. */
    static long check(long result) {
        return result == -1 ? -RUNTIME.getLastError() : result;
    }
}
