// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import org.HdrHistogram.Histogram;

/**
 * What a {@link WorkerPool} did up to now.
 *
 * @param threads workers that exist or are being created
 * @param idleThreads those of them that wait for work
 * @param queued tasks that no worker has claimed
 * @param submitted tasks submitted since the beginning
 * @param completed tasks whose completion their loop has taken, cancelled ones included
 * @param createdThreads workers created since the beginning
 * @param longestQueue most tasks that were unclaimed at once
 * @param waitNs how long tasks were queued before a worker ran them
 * @param spawnNs from the creation of a thread to its first instruction
 */
public record WorkerPoolStats(
        int threads,
        int idleThreads,
        int queued,
        long submitted,
        long completed,
        long createdThreads,
        int longestQueue,
        Histogram waitNs,
        Histogram spawnNs) {}
