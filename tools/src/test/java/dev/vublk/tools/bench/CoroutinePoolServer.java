// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import com.sun.management.ThreadMXBean;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;

/**
 * Serves disks as {@code vublk export} does, with the coroutine pool of a {@link PoolDesign}, until its standard input ends.
 *
 * <p>Arguments: design, IOThreads, queues, milliseconds of a shrinking period, and a socket and an image for each disk. An
 * image is what {@code vublk export} takes, or {@code waiting:MICROSECONDS} for a {@link WaitingDisk}. It answers each line
 * of standard input with one line of {@code key=value} pairs; before that, {@code gc} collects garbage.
 */
public final class CoroutinePoolServer {
    private static final String WAITING = "waiting:";
    private static final long WAITING_DISK_BYTES = 1L << 30;
    private static final int WORKERS_MAX = 64;

    private final PoolDesign design;
    private final ComparedPools pools;

    private CoroutinePoolServer(PoolDesign design) {
        this.design = design;
        pools = new ComparedPools(design);
    }

    public static void main(String[] args) throws IOException {
        List<DiskConfig> disks = new ArrayList<>();
        int queues = Integer.parseInt(args[2]);
        for (int i = 4; i < args.length; i += 2) {
            disks.add(new DiskConfig(
                    options(args[i + 1]),
                    ListenerOptions.atPath(args[i]),
                    new VirtioBlkSettings("pool", queues, 1024, true, 126, true, true, 1)));
        }
        EmulatorConfig config = new EmulatorConfig(
                disks,
                Integer.parseInt(args[1]),
                List.of(),
                0,
                WORKERS_MAX,
                FdMonitorKind.AUTO,
                PollSettings.DEFAULT,
                Long.parseLong(args[3]));
        new CoroutinePoolServer(PoolDesign.valueOf(args[0])).serve(config);
    }

    private void serve(EmulatorConfig config) throws IOException {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Emulator emulator = new Emulator(config, pools, CoroutinePoolServer::open)) {
            emulator.start();
            System.out.println("ready: " + design.label());
            for (String command = commands.readLine(); command != null; command = commands.readLine()) {
                if (command.equals("gc")) {
                    collectGarbage();
                }
                System.out.println(statistics());
            }
        }
    }

    /** Without locks: the servers that are compared share an image, which nobody writes. */
    private static BlockOptions options(String image) {
        BlockOptions defaults = BlockOptions.of(image);
        return BlockOptions.of(image)
                .withCacheMode(defaults.cacheMode())
                .withEngine(BlockOptions.IoEngine.IO_URING)
                .withLocking(BlockOptions.Locking.OFF);
    }

    private static BlockDriver open(BlockOptions options) throws BlockOpenException {
        if (options.image().startsWith(WAITING)) {
            long periodUs = Long.parseLong(options.image().substring(WAITING.length()));
            return new WaitingDisk(WAITING_DISK_BYTES, periodUs);
        }
        return BlockDrivers.open(options);
    }

    private static void collectGarbage() {
        // Twice: what the first one finds reachable only through what dies goes in the second.
        System.gc();
        System.gc();
    }

    private String statistics() {
        // The control loop is made first; it serves no requests.
        List<ComparedPools.Counts> all = pools.counts();
        List<ComparedPools.Counts> loops = all.subList(1, all.size());
        Map<String, Object> values = new java.util.LinkedHashMap<>();
        values.put("ns", System.nanoTime());
        values.put("created", sum(loops, ComparedPools.Counts::created));
        values.put("alive", sum(loops, ComparedPools.Counts::alive));
        values.put("peak", sum(loops, ComparedPools.Counts::peak));
        values.put("pooled", sum(loops, ComparedPools.Counts::pooled));
        values.put("shared", pools.shared());
        for (int i = 0; i < loops.size(); i++) {
            values.put("alive" + i, loops.get(i).alive());
            values.put("pooled" + i, loops.get(i).pooled());
        }
        values.put("allocated", allocatedBytes());
        values.put(
                "heap", ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed());
        return values.entrySet().stream()
                .map(entry -> entry.getKey() + "=" + entry.getValue())
                .collect(Collectors.joining(" "));
    }

    private static long sum(List<ComparedPools.Counts> loops, ToLongFunction<ComparedPools.Counts> counter) {
        return loops.stream().mapToLong(counter).sum();
    }

    /** What the IOThreads have allocated since they began. */
    private static long allocatedBytes() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long bytes = 0;
        for (long id : threads.getAllThreadIds()) {
            var info = threads.getThreadInfo(id);
            if (info != null && info.getThreadName().startsWith("vublk-iothread-")) {
                bytes += threads.getThreadAllocatedBytes(id);
            }
        }
        return bytes;
    }
}
