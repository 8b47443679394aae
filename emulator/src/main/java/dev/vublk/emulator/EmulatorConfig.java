// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.IOThreadConfig;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.linux.CpuAffinity;
import java.util.List;

/**
 * Everything a process is started with.
 *
 * @param disks the disks to export, at least one
 * @param ioThreads how many IOThreads serve them, at least 1
 * @param ioThreadCpus processors of each IOThread: empty for no pinning, otherwise one set an IOThread, in order
 * @param workerThreadsMin worker threads that are always there
 * @param workerThreadsMax most worker threads at once, at least 1
 * @param fdMonitor what the loops wait with
 * @param polling how long IOThreads look for work before they sleep
 * @param coroutineShrinkMs how often threads give up coroutines that the last period did not need, at least 1
 */
public record EmulatorConfig(
        List<DiskConfig> disks,
        int ioThreads,
        List<CpuAffinity> ioThreadCpus,
        int workerThreadsMin,
        int workerThreadsMax,
        FdMonitorKind fdMonitor,
        PollSettings polling,
        long coroutineShrinkMs) {
    /** With polling and monitor as they suit most. */
    public EmulatorConfig(
            List<DiskConfig> disks,
            int ioThreads,
            List<CpuAffinity> ioThreadCpus,
            int workerThreadsMin,
            int workerThreadsMax) {
        this(
                disks,
                ioThreads,
                ioThreadCpus,
                workerThreadsMin,
                workerThreadsMax,
                FdMonitorKind.AUTO,
                PollSettings.DEFAULT,
                IOThreadConfig.COROUTINE_SHRINK_MS_DEFAULT);
    }

    public EmulatorConfig {
        disks = List.copyOf(disks);
        ioThreadCpus = List.copyOf(ioThreadCpus);
    }
}
