// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Runs the same rounds of requests through vublk on split rings, on packed rings, through qemu-storage-daemon where it is
 * installed, and through the model, each on an image of its own; compares every end, and in the end the images.
 */
public final class Differential {
    private static final int DISK_SECTORS = 8192;
    private static final int QUEUES = 3;
    private static final int QUEUE_SIZE = 128;

    private final Path directory;
    private final long seed;

    Differential(Path directory, long seed) {
        this.directory = directory;
        this.seed = seed;
    }

    /** One back end with a guest connected. */
    private record Compared(String name, Differences permitted, Guest guest, List<GuestQueue> queues) {
        static Compared connect(String name, Differences permitted, String socket, RingKind rings) throws IOException {
            Guest guest = Guest.connect(socket, rings.unwantedFeatures);
            List<GuestQueue> queues = new ArrayList<>();
            for (int i = 0; i < QUEUES; i++) {
                queues.add(guest.queue(i, QUEUE_SIZE).start());
            }
            return new Compared(name, permitted, guest, queues);
        }

        /** All of a round in flight together; returns them ended, in the order of the plan. */
        private List<GuestRequest> run(List<PlannedRequest> round) {
            List<GuestRequest> made = new ArrayList<>();
            for (PlannedRequest planned : round) {
                GuestRequest request = planned.make();
                made.add(request);
                queues.get(planned.queue()).add(request);
            }
            for (GuestQueue queue : queues) {
                if (queue.inFlightCount() > 0) {
                    queue.publishAndKick();
                }
            }
            queues.forEach(GuestQueue::awaitAll);
            return made;
        }
    }

    /** Returns how many requests were compared; throws {@link AssertionError} at the first difference. */
    long run(int rounds) throws IOException, InterruptedException {
        byte[] content = new byte[DISK_SECTORS * PlannedRequest.SECTOR_BYTES];
        new Random(seed).nextBytes(content);
        Path split = image("split", content);
        Path packed = image("packed", content);
        Path qemu = image("qemu", content);
        DiskModel model = new DiskModel(content);
        long requests;
        boolean withQemu = QemuStorageDaemon.isInstalled();
        try (EmulatorUnderTest vublkSplit = vublk("split", split);
                EmulatorUnderTest vublkPacked = vublk("packed", packed);
                @Nullable
                        QemuStorageDaemon daemon = withQemu ? QemuStorageDaemon.start(directory, qemu, QUEUES) : null) {
            List<Compared> all = new ArrayList<>();
            try {
                all.add(Compared.connect("vublk, split", Differences.NONE, vublkSplit.socketPath(), RingKind.SPLIT));
                all.add(Compared.connect("vublk, packed", Differences.NONE, vublkPacked.socketPath(), RingKind.PACKED));
                if (daemon != null) {
                    all.add(Compared.connect("QEMU", Differences.QEMU, daemon.socketPath(), RingKind.SPLIT));
                }
                requests = compare(all, model, rounds);
            } finally {
                all.forEach(compared -> compared.guest().close());
            }
        }
        checkImage(split, model);
        checkImage(packed, model);
        if (withQemu) {
            checkImage(qemu, model);
        }
        return requests;
    }

    private Path image(String name, byte[] content) throws IOException {
        return Files.write(directory.resolve(name + ".img"), content);
    }

    private EmulatorUnderTest vublk(String name, Path image) throws IOException {
        Path own = Files.createDirectories(directory.resolve(name));
        return new EmulatorUnderTest.Setup(own)
                .block(BlockOptions.of(image.toString()))
                .ioThreads(2)
                .start();
    }

    private long compare(List<Compared> all, DiskModel model, int rounds) {
        RequestPlan plan = new RequestPlan(seed, DISK_SECTORS, QUEUES);
        long requests = 0;
        for (int i = 0; i < rounds; i++) {
            List<PlannedRequest> round = plan.nextRound();
            for (Compared compared : all) {
                List<GuestRequest> done = compared.run(round);
                for (int k = 0; k < done.size(); k++) {
                    String wrong = compared.permitted().check(round.get(k), done.get(k), model);
                    if (!wrong.isEmpty()) {
                        throw new AssertionError("seed " + seed + ", round " + i + ", " + compared.name() + ": "
                                + round.get(k) + ": " + wrong);
                    }
                }
            }
            round.forEach(model::apply);
            requests += round.size();
        }
        return requests;
    }

    private void checkImage(Path image, DiskModel model) throws IOException {
        int at = Arrays.mismatch(Files.readAllBytes(image), model.content());
        if (at >= 0) {
            throw new AssertionError("seed " + seed + ": " + image.getFileName() + " differs at byte " + at);
        }
    }

    /** {@code [ROUNDS [SEED]]} */
    public static void main(String... arguments) throws IOException, InterruptedException {
        int rounds = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 10_000;
        long seed = arguments.length > 1 ? Long.parseLong(arguments[1]) : System.nanoTime();
        Path directory = Files.createTempDirectory("vublk-differential");
        if (!QemuStorageDaemon.isInstalled()) {
            System.out.println("qemu-storage-daemon is not installed: vublk is compared with the model only");
        }
        boolean same = false;
        try {
            System.out.println("seed " + seed);
            System.out.println(new Differential(directory, seed).run(rounds) + " requests, no difference");
            same = true;
        } catch (AssertionError e) {
            System.out.println(
                    "FAILED: " + e.getMessage() + "\n  again: scripts/differential.sh " + rounds + " " + seed);
        } finally {
            removeAll(directory);
        }
        System.exit(same ? 0 : 1);
    }

    private static void removeAll(Path directory) throws IOException {
        try (var files = Files.walk(directory)) {
            files.sorted(Comparator.reverseOrder())
                    .forEach(file -> file.toFile().delete());
        }
    }
}
