// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.linux.CpuAffinity;
import org.jspecify.annotations.Nullable;

/**
 * How a {@link WorkerPool} is to be.
 *
 * @param name what its threads are called
 * @param minThreads created at once and kept; above 0 the first calls do not wait for a thread
 * @param maxThreads how many calls run at a time
 * @param idleTimeoutMs how long a worker above {@code minThreads} stays without work
 * @param affinity where workers run, whoever submits; null: where the thread runs that makes the pool
 */
public record WorkerPoolConfig(
        String name,
        int minThreads,
        int maxThreads,
        long idleTimeoutMs,
        @Nullable CpuAffinity affinity) {

    /** QEMU's: no thread at first, at most 64, each leaves after 10 s. */
    public static final WorkerPoolConfig DEFAULT = new WorkerPoolConfig("worker", 0, 64, 10_000, null);

    public WorkerPoolConfig {
        requireNonNull(name, "name");
        if (maxThreads < 1 || maxThreads > WorkerPoolState.THREADS_MAX) {
            throw new IllegalArgumentException(
                    "maxThreads " + maxThreads + " is not within 1-" + WorkerPoolState.THREADS_MAX);
        }
        if (minThreads < 0 || minThreads > maxThreads) {
            throw new IllegalArgumentException("minThreads " + minThreads + " is not within 0-" + maxThreads);
        }
        if (idleTimeoutMs < 0) {
            throw new IllegalArgumentException("idleTimeoutMs " + idleTimeoutMs);
        }
    }

    public WorkerPoolConfig withName(String newName) {
        return new WorkerPoolConfig(newName, minThreads, maxThreads, idleTimeoutMs, affinity);
    }

    public WorkerPoolConfig withThreads(int newMinThreads, int newMaxThreads) {
        return new WorkerPoolConfig(name, newMinThreads, newMaxThreads, idleTimeoutMs, affinity);
    }

    public WorkerPoolConfig withIdleTimeoutMs(long newIdleTimeoutMs) {
        return new WorkerPoolConfig(name, minThreads, maxThreads, newIdleTimeoutMs, affinity);
    }

    public WorkerPoolConfig withAffinity(@Nullable CpuAffinity newAffinity) {
        return new WorkerPoolConfig(name, minThreads, maxThreads, idleTimeoutMs, newAffinity);
    }
}
