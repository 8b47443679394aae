// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import jnr.ffi.LibraryLoader;

/** The libc functions that {@link CpuAffinity} calls. Public only because jnr-ffi's generated class must see it. */
public interface SchedLibC {
    SchedLibC INSTANCE = LibraryLoader.create(SchedLibC.class).load("c");
    jnr.ffi.Runtime RUNTIME = jnr.ffi.Runtime.getRuntime(INSTANCE);

    int sched_setaffinity(int pid, long maskSizeBytes, long maskAddress);

    int sched_getaffinity(int pid, long maskSizeBytes, long maskAddress);

    /** A call's result, or its errno negated when the result is -1. */
    static int check(int result) {
        return result == -1 ? -RUNTIME.getLastError() : result;
    }
}
