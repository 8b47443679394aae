// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.powercut;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.file.SimulatedFileDriver;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchService;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Serves a {@link VolatileDisk} on DIRECTORY/disk.sock and cuts its power again and again while a guest writes: each cut leaves
 * an image, and a list of what the guest had been promised before.
 *
 * <pre>
 * DIRECTORY/share/begin      made by the guest: what it has written so far is stable, the cuts may begin
 * DIRECTORY/share/promised   a line a promise, appended by the guest when an fsync has returned
 * DIRECTORY/share/enough     made here after the last cut; the guest may stop
 * DIRECTORY/cut-N.img        what the N-th cut left
 * DIRECTORY/share/promised-N what it had been promised
 * </pre>
 *
 * The guest goes on after a "cut": it only shows what one would have left. {@code scripts/power-cut.sh} runs it.
 */
public final class PowerCutServer {
    /** Promises between two cuts, at most. Arbitrary. */
    private static final int PROMISES_BETWEEN_CUTS = 25;

    /** Beyond the last promise, at most: so that a cut finds the guest in the midst of things. */
    private static final int DELAY_NS = 30_000_000;

    private final Path directory;
    private final Path share;
    private final Path promised;
    private final VolatileDisk disk;
    private final Random random;
    private final WatchService changes;

    private PowerCutServer(Path directory, VolatileDisk disk, long seed) throws IOException {
        this.directory = directory;
        this.disk = disk;
        share = directory.resolve("share");
        promised = share.resolve("promised");
        random = new Random(seed);
        changes = share.getFileSystem().newWatchService();
        share.register(changes, StandardWatchEventKinds.ENTRY_CREATE, StandardWatchEventKinds.ENTRY_MODIFY);
    }

    public static void main(String... arguments) throws Exception {
        Map<String, String> options = new HashMap<>(Map.of(
                "--cuts",
                "4",
                "--size-mib",
                "512",
                "--cache",
                "writeback",
                "--packed",
                "on",
                "--forget-flushes",
                "false"));
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            options.put(arguments[i], arguments[i + 1]);
        }
        Path directory = Path.of(options.get("--directory"));
        long seed = Long.parseLong(options.get("--seed"));
        long sizeBytes = Long.parseLong(options.get("--size-mib")) << 20;
        VolatileDisk disk = new VolatileDisk(sizeBytes, seed, Boolean.parseBoolean(options.get("--forget-flushes")));
        PowerCutServer server = new PowerCutServer(directory, disk, seed);
        CacheMode cache = CacheMode.valueOf(options.get("--cache").toUpperCase(java.util.Locale.ROOT));
        VolatileDriver driver = new VolatileDriver(SimulatedFileDriver.open(sizeBytes, cache, 512, 512), disk);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                .driver(driver)
                .settings(new VirtioBlkSettings(
                        "power-cut", 1, 1024, options.get("--packed").equals("on"), 126, true, true, 16))
                .start()) {
            System.out.println("ready: " + emulator.socketPath() + ", seed " + seed);
            server.cut(Integer.parseInt(options.get("--cuts")));
            new CountDownLatch(1).await(); // Until the process is ended.
        }
    }

    private void cut(int cuts) throws IOException, InterruptedException {
        while (!Files.exists(share.resolve("begin"))) {
            awaitChange();
        }
        disk.settle();
        int promises = 0;
        for (int i = 0; i < cuts; i++) {
            promises += 1 + random.nextInt(PROMISES_BETWEEN_CUTS);
            while (promises().size() < promises) {
                awaitChange();
            }
            LockSupport.parkNanos(random.nextInt(DELAY_NS));
            // First the promises, then the cut: each of these was made before it.
            List<String> made = promises();
            promises = made.size();
            Files.write(share.resolve("promised-" + i), made);
            int unstable = disk.imageAfterCut(directory.resolve("cut-" + i + ".img"));
            System.out.println("cut " + i + ": " + promises + " promises, " + unstable + " blocks unstable");
        }
        Files.createFile(share.resolve("enough"));
    }

    /** Whole lines only: the guest may be writing one. */
    private List<String> promises() throws IOException {
        if (!Files.exists(promised)) {
            return List.of();
        }
        String text = Files.readString(promised);
        return text.substring(0, text.lastIndexOf('\n') + 1).lines().toList();
    }

    private void awaitChange() throws InterruptedException {
        var key = changes.poll(1, TimeUnit.SECONDS);
        if (key != null) {
            key.pollEvents();
            key.reset();
        }
    }
}
