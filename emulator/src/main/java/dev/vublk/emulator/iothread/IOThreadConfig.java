// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.emulator.linux.CpuAffinity;
import org.jspecify.annotations.Nullable;

/**
 * How an {@link IOThread} is to be.
 *
 * @param name what the thread is called
 * @param cpus processors it may run on, or null for all
 * @param monitorKind what it waits with, not {@link FdMonitorKind#AUTO}
 * @param polling how long it looks for work before it sleeps
 * @param coroutineShrinkMs how often it gives up coroutines that the last period did not need, at least 1
 */
public record IOThreadConfig(
        String name,
        @Nullable CpuAffinity cpus,
        FdMonitorKind monitorKind,
        PollSettings polling,
        long coroutineShrinkMs) {
    /** QEMU's period. */
    public static final long COROUTINE_SHRINK_MS_DEFAULT = 15_000;

    /** With no pinning and the usual period. */
    public IOThreadConfig(String name, FdMonitorKind monitorKind, PollSettings polling) {
        this(name, null, monitorKind, polling, COROUTINE_SHRINK_MS_DEFAULT);
    }
}
