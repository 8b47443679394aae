// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * An image made by qemu-img, on a {@link VolatileFile}, written by coroutines of several loops at random, beside a model of what
 * must be in it. QEMU's programs say whether it is sound and what it holds.
 */
@SuppressWarnings("NullAway.Init") // open() sets what an opened image has
final class WriteWorld {
    private static final int SECTOR_BYTES = SectorModel.SECTOR_BYTES;

    /** Guest data in an external data file, and whether that is a raw image. */
    enum DataFile {
        NONE,
        PLAIN,
        RAW
    }

    /**
     * What kind of image.
     *
     * @param options of {@code qemu-img create -o}
     * @param sizeBytes of the disk
     * @param backed whether there is a backing file, two thirds as large
     * @param filled whether the image has data, compressed clusters and an internal snapshot at first
     */
    record Kind(String options, long sizeBytes, boolean backed, boolean filled, DataFile dataFile) {
        Kind(String options, long sizeBytes, boolean backed, boolean filled) {
            this(options, sizeBytes, backed, filled, DataFile.NONE);
        }
    }

    final Kind kind;
    final Random random;
    final Path directory;
    final Path image;
    final Path dataImage;
    final VolatileFile disk;
    final VolatileFile dataDisk;
    final SectorModel model;
    private final byte[] backing;
    /** What the disk holds at first, and the snapshot for ever. */
    private final long[] first;

    private boolean hasSnapshot;
    private final AtomicLong stamps = new AtomicLong(1L << 32);
    private final AtomicInteger failures = new AtomicInteger();
    private final AtomicInteger dumps = new AtomicInteger();

    Qcow2Header header;
    WritableImage writable;
    boolean expectFailures;

    WriteWorld(Path directory, Kind kind, long seed) throws Exception {
        Shell.assumeQemuTools();
        this.kind = kind;
        this.random = new Random(seed);
        this.directory = directory;
        this.image = directory.resolve("image.qcow2");
        this.dataImage = directory.resolve("data.raw");
        this.backing = kind.backed ? makeBacking() : new byte[0];
        create();
        Path raw = directory.resolve("first.raw");
        Shell.check("qemu-img", "convert", "-O", "raw", image.toString(), raw.toString());
        this.first = stamps(raw);
        this.model = new SectorModel(first);
        this.disk = VolatileFile.of(image, seed);
        this.dataDisk = kind.dataFile == DataFile.NONE ? disk : VolatileFile.of(dataImage, seed);
    }

    private byte[] makeBacking() throws Exception {
        byte[] bytes = new byte[(int) (kind.sizeBytes * 2 / 3) / SECTOR_BYTES * SECTOR_BYTES];
        for (int sector = 0; sector < bytes.length / SECTOR_BYTES; sector++) {
            if (random.nextInt(5) > 0) {
                fill(bytes, sector, 1 + random.nextInt(1 << 20));
            }
        }
        Files.write(directory.resolve("backing.raw"), bytes);
        return bytes;
    }

    private void create() throws Exception {
        List<String> command = new ArrayList<>(List.of("qemu-img", "create", "-q", "-f", "qcow2"));
        String options = kind.options;
        if (kind.dataFile != DataFile.NONE) {
            options += ",data_file=" + dataImage + (kind.dataFile == DataFile.RAW ? ",data_file_raw=on" : "");
        }
        command.addAll(List.of("-o", options));
        if (kind.backed) {
            command.addAll(List.of("-b", directory.resolve("backing.raw").toString(), "-F", "raw"));
        }
        command.addAll(List.of(image.toString(), String.valueOf(kind.sizeBytes)));
        Shell.check(command.toArray(String[]::new));
        if (kind.filled) {
            prefill();
        }
    }

    /** Every kind of cluster that is not written in place. */
    private void prefill() throws Exception {
        long size = kind.sizeBytes;
        List<String> commands = new ArrayList<>(List.of("qemu-io", "-f", "qcow2"));
        if (kind.dataFile == DataFile.NONE) {
            int cluster = clusterBytes(); // qemu-io compresses only what is not allocated yet.
            random.longs(6, 0, size / cluster)
                    .distinct()
                    .forEach(at -> commands.addAll(List.of(
                            "-c", "write -c -P " + (1 + random.nextInt(200)) + " " + at * cluster + " " + cluster)));
        }
        for (int i = 0; i < 12; i++) {
            long at = random.nextLong(size / SECTOR_BYTES) * SECTOR_BYTES;
            long bytes = Math.min(size - at, (1 + random.nextInt(200)) * (long) SECTOR_BYTES);
            commands.addAll(List.of("-c", "write -P " + (1 + random.nextInt(200)) + " " + at + " " + bytes));
        }
        for (int i = 0; i < 4; i++) {
            long at = random.nextLong(size / SECTOR_BYTES) * SECTOR_BYTES;
            long bytes = Math.min(size - at, (1 + random.nextInt(400)) * (long) SECTOR_BYTES);
            commands.addAll(List.of("-c", "write -z " + (random.nextBoolean() ? "-u " : "") + at + " " + bytes));
        }
        commands.add(image.toString());
        Shell.check(commands.toArray(String[]::new));
        if (kind.dataFile == DataFile.NONE && !kind.options.contains("refcount_bits=1,")) {
            Shell.check("qemu-img", "snapshot", "-c", "before", image.toString());
            hasSnapshot = true;
        }
    }

    int clusterBytes() {
        String option = kind.options.replaceAll(".*cluster_size=(\\d+).*", "$1");
        return Integer.parseInt(option);
    }

    private static void fill(byte[] bytes, int sector, long stamp) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
        for (int i = 0; i < SECTOR_BYTES; i += 8) {
            buffer.putLong(sector * SECTOR_BYTES + i, stamp);
        }
    }

    /** The stamp of each sector; -1 for one that is torn. */
    private static long[] stamps(Path raw) throws Exception {
        byte[] bytes = Files.readAllBytes(raw);
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
        long[] stamps = new long[bytes.length / SECTOR_BYTES];
        for (int sector = 0; sector < stamps.length; sector++) {
            stamps[sector] = buffer.getLong(sector * SECTOR_BYTES);
            for (int i = 8; i < SECTOR_BYTES; i += 8) {
                if (buffer.getLong(sector * SECTOR_BYTES + i) != stamps[sector]) {
                    stamps[sector] = -1;
                }
            }
        }
        return stamps;
    }

    /** Opens the image as a driver does. */
    void open(long cacheBytes) throws Exception {
        MetadataFile file = disk.blocking();
        byte[] head = readFully(file, 0, 1 << 21);
        header = Qcow2Header.decode(
                ByteBuffer.wrap(head, 0, Qcow2Header.clusterBytes(ByteBuffer.wrap(head), "image")), "image");
        L1Table l1 = new L1Table(header.l1TableOffset(), longs(file, header.l1TableOffset(), header.l1Size()));
        int entries = header.refcountTableClusters() << (header.clusterBits() - 3);
        writable = new WritableImage(
                "image",
                header,
                l1,
                new L2Cache(header, l1, cacheBytes),
                longs(file, header.refcountTableOffset(), entries),
                file.sizeBytes(),
                false,
                kind.sizeBytes,
                true);
    }

    private static byte[] readFully(MetadataFile file, long offset, int length) {
        long buffer = NativeMemory.allocate(length);
        byte[] bytes = new byte[length];
        assertThat(file.read(offset, buffer, length)).isZero();
        NativeMemory.get(buffer, bytes, 0, length);
        NativeMemory.free(buffer);
        return bytes;
    }

    private static long[] longs(MetadataFile file, long offset, int count) {
        long[] longs = new long[count];
        ByteBuffer.wrap(readFully(file, offset, count * 8)).asLongBuffer().get(longs);
        return longs;
    }

    /** Runs something before each call of a loop to one of the files, which waits for it. */
    void holdUp(Runnable gate) {
        disk.holdUp(gate);
        dataDisk.holdUp(gate);
    }

    /** Closes it cleanly. */
    void close() {
        MetadataFile file = disk.blocking();
        MetadataFile data = dataDisk == disk ? file : dataDisk.blocking();
        assertThat(writable.settle(file, data)).isZero();
        writable.close();
    }

    /** The process is gone. */
    void abandon() {
        writable.close();
    }

    /** Several loops with several coroutines each do {@code steps} random requests each. */
    void run(int loops, int coroutines, int steps) throws Exception {
        try (Crew crew = new Crew()) {
            start(crew, loops, coroutines, steps);
            crew.join();
        }
        if (!expectFailures) {
            assertThat(failures.get()).as("failed requests").isZero();
        }
    }

    /** Makes the disk larger, on a loop of its own; what {@code WritableImage.grow} says. */
    int grow(int sectors) throws Exception {
        PlainLoop loop = PlainLoop.withoutRing();
        MetadataFile file = disk.on(loop);
        long bytes = (long) sectors * SECTOR_BYTES;
        int entries = ResizeRules.l1Entries("image", header, bytes);
        int result = loop.run(() -> writable.grow(file, bytes, entries));
        if (result == 0) {
            model.grow(sectors);
        }
        return result;
    }

    /** How many requests have failed since the last call. */
    int takeFailures() {
        return failures.getAndSet(0);
    }

    void start(Crew crew, int loops, int coroutines, int steps) {
        for (int i = 0; i < loops; i++) {
            PlainLoop loop = PlainLoop.withoutRing();
            MetadataFile file = disk.on(loop);
            MetadataFile data = dataDisk == disk ? file : dataDisk.on(loop);
            EntryRules rules = new EntryRules(header, backing.length);
            RequestEpochs.Counter counter = writable.epochs.newCounter();
            PlainReader reader = new PlainReader(writable, file, data, backing);
            ImageWriter writer = new ImageWriter(writable, rules, file, data, reader, counter);
            ImageEraser eraser = new ImageEraser(writable, rules, file, data, writer, counter);
            for (int j = 0; j < coroutines; j++) {
                long seed = random.nextLong();
                crew.run(() -> {
                    Random mine = new Random(seed);
                    for (int step = 0; step < steps; step++) {
                        step(mine, loop, reader, writer, eraser, counter);
                    }
                    return null;
                });
            }
        }
    }

    private void step(
            Random mine,
            PlainLoop loop,
            PlainReader reader,
            ImageWriter writer,
            ImageEraser eraser,
            RequestEpochs.Counter counter) {
        int kindOfStep = mine.nextInt(100);
        if (kindOfStep < 4) {
            long begun = model.flushBegins();
            if (loop.run(writer::flush) == 0) {
                model.flushed(begun);
            } else {
                failures.incrementAndGet();
            }
            return;
        }
        int most = kindOfStep < 90 ? Math.max(1, 2 * clusterBytes() / SECTOR_BYTES) : model.sectorCount() / 3;
        int count = 1 + mine.nextInt(Math.min(most, mine.nextBoolean() ? 16 : 4096));
        int first = mine.nextInt(Math.max(1, model.sectorCount() - count));
        count = Math.min(count, model.sectorCount() - first);
        if (!model.claim(first, count)) {
            return;
        }
        try {
            if (kindOfStep < 60) {
                write(mine, loop, writer, first, count);
            } else if (kindOfStep < 75) {
                read(loop, reader, counter, first, count);
            } else if (kindOfStep < 88) {
                boolean unmap = mine.nextBoolean();
                erase(first, count, first, count, loop, (at, bytes) -> eraser.writeZeroes(at, bytes, unmap, false));
            } else {
                discard(first, count, loop, eraser);
            }
        } finally {
            model.unclaim(first);
        }
    }

    private void write(Random mine, PlainLoop loop, ImageWriter writer, int first, int count) {
        long stamp = stamps.incrementAndGet();
        byte[] bytes = new byte[count * SECTOR_BYTES];
        for (int i = 0; i < count; i++) {
            fill(bytes, i, stamp);
        }
        boolean fua = mine.nextInt(20) == 0;
        try (TestVector vector = TestVector.random(mine, bytes.length)) {
            vector.put(bytes);
            model.begin(first, count, stamp);
            int result = loop.run(
                    () -> writer.writev((long) first * SECTOR_BYTES, vector.iov(), vector.count(), bytes.length, fua));
            ended(first, count, result);
        }
    }

    private void ended(int first, int count, int result) {
        model.end(first, count, result == 0);
        if (result != 0) {
            failures.incrementAndGet();
        }
    }

    /** As a channel reads: counted among the requests that may still use what is freed. */
    private void read(PlainLoop loop, PlainReader reader, RequestEpochs.Counter counter, int first, int count) {
        try (TestVector vector = TestVector.of(count * SECTOR_BYTES)) {
            int result = loop.run(() -> {
                long epoch = counter.enter();
                int read = reader.readv((long) first * SECTOR_BYTES, vector.iov(), 1, (long) count * SECTOR_BYTES);
                counter.exit(epoch);
                return read;
            });
            ByteBuffer bytes = ByteBuffer.wrap(vector.get()).order(ByteOrder.nativeOrder());
            for (int i = 0; i < count && result == 0; i++) {
                long stamp = bytes.getLong(i * SECTOR_BYTES);
                if (!model.reads(first + i, stamp)) {
                    throw new AssertionError(
                            "sector " + (first + i) + " reads as " + stamp + " not " + model.afterKill(first + i));
                }
            }
        }
    }

    private interface Eraser {
        int erase(long at, long bytes);
    }

    /** Erases a range of sectors, of which those of the second one are zero then. */
    private void erase(int first, int count, int zeroFirst, int zeroCount, PlainLoop loop, Eraser eraser) {
        model.begin(zeroFirst, zeroCount, 0);
        int result = loop.run(() -> eraser.erase((long) first * SECTOR_BYTES, (long) count * SECTOR_BYTES));
        ended(zeroFirst, zeroCount, result);
    }

    private void discard(int first, int count, PlainLoop loop, ImageEraser eraser) {
        int perCluster = clusterBytes() / SECTOR_BYTES;
        int start = Math.ceilDiv(first, perCluster) * perCluster;
        int end = first + count == model.sectorCount() ? first + count : (first + count) / perCluster * perCluster;
        boolean happens = header.version() > 2 || !kind.backed || (long) start * SECTOR_BYTES >= backing.length;
        int zeroes = happens ? Math.max(0, end - start) : 0;
        erase(first, count, start, zeroes, loop, eraser::discard);
    }

    /** Writes the image as it is to a file of its own; the data file, which it names by path, where that was. */
    synchronized Path dump() throws Exception {
        Path dump = nextDump();
        disk.write(dump);
        if (kind.dataFile != DataFile.NONE) {
            dataDisk.write(dataImage);
        }
        return dump;
    }

    /** What a power cut now could leave. */
    synchronized Path dumpAfterCut(Random cut) throws Exception {
        Path dump = nextDump();
        disk.writeAfterCut(dump, cut);
        if (kind.dataFile != DataFile.NONE) {
            dataDisk.writeAfterCut(dataImage, cut);
        }
        return dump;
    }

    private Path nextDump() throws Exception {
        Path dump = directory.resolve("dump" + dumps.incrementAndGet() + ".qcow2");
        Files.deleteIfExists(dump);
        return dump;
    }

    /** QEMU finds no error in the image, and, when it was closed cleanly, no leak. */
    String check(Path dump, boolean clean) throws Exception {
        Shell.Result check = Shell.run("qemu-img", "check", "-f", "qcow2", dump.toString());
        if (check.exitCode() != 0 && (clean || check.exitCode() != 3)) {
            return "check: " + check.output().lines().limit(20).toList();
        }
        return "";
    }

    /** QEMU finds what was promised, and the snapshot as it was; says what not. */
    String compare(Path dump, List<List<Long>> promises) throws Exception {
        long[] found = convert(dump);
        if (hasSnapshot) {
            // As long as the disk is now.
            long[] snapshot = convert(dump, "-l", "snapshot.name=before");
            if (!Arrays.equals(snapshot, Arrays.copyOf(first, snapshot.length))) {
                return "the snapshot has changed";
            }
        }
        if (found.length < promises.size()) {
            return "the disk has " + found.length + " sectors instead of " + promises.size();
        }
        List<String> wrong = new ArrayList<>();
        for (int sector = 0; sector < found.length; sector++) {
            List<Long> promised = sector < promises.size() ? promises.get(sector) : List.of(0L); // It is just growing.
            if (!promised.contains(found[sector])) {
                wrong.add("sector " + sector + " holds " + found[sector] + " instead of " + promised);
            }
        }
        return wrong.isEmpty() ? "" : wrong.size() + " sectors: " + wrong.subList(0, Math.min(5, wrong.size()));
    }

    private long[] convert(Path dump, String... options) throws Exception {
        Path raw = directory.resolve(dump.getFileName() + ".raw");
        List<String> command = new ArrayList<>(List.of("qemu-img", "convert", "-f", "qcow2", "-O", "raw"));
        command.addAll(List.of(options));
        command.addAll(List.of(dump.toString(), raw.toString()));
        Shell.check(command.toArray(String[]::new));
        long[] found = stamps(raw);
        Files.delete(raw);
        return found;
    }

    /** The data file as a raw image holds the disk. */
    String compareData() throws Exception {
        long[] found = stamps(dataImage);
        for (int sector = 0; sector < model.sectorCount(); sector++) {
            long stamp = sector < found.length ? found[sector] : 0;
            if (!model.afterKill(sector).contains(stamp)) {
                return "data file: sector " + sector + " holds " + stamp;
            }
        }
        return "";
    }

    static long fileSize(Path path) throws Exception {
        try (FileChannel channel = FileChannel.open(path)) {
            return channel.size();
        }
    }
}
