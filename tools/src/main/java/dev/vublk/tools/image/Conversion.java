// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.emulator.worker.compress.BusyPolicy;
import dev.vublk.emulator.worker.compress.CodecSettings;
import dev.vublk.emulator.worker.compress.CodecStats;
import dev.vublk.tools.image.ConversionOptions.Compression;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One image made from another: source and target opened, copied, and the target given its name when it is whole. Used once, by one
 * thread; {@link #cancel} by any.
 */
public final class Conversion {
    /** Large enough to make calls cheap, small enough that what was read is still in the processor's cache when it is written. */
    private static final int CHUNK_BYTES = 1 << 20;

    private final ConversionOptions options;
    private final BrokenSectors broken;

    /** Guarded by this. */
    private @Nullable CopyWork copy;

    /** Guarded by this. */
    private @Nullable String cancelled;

    private volatile @Nullable CopyProgress progress;
    private volatile Supplier<@Nullable CodecStats> stats = () -> null;

    public Conversion(ConversionOptions options) {
        this.options = options;
        broken = new BrokenSectors(options.skipBroken());
    }

    /** How far it is; null while it has not begun. Any thread. */
    public @Nullable CopyProgress progress() {
        return progress;
    }

    /** How far it is, when it has begun. Any thread. */
    public CopyProgress startedProgress() {
        return Objects.requireNonNull(progress, "not begun");
    }

    /** What the codec engine has done; null where nothing is compressed. Any thread. */
    public @Nullable CodecStats codecStats() {
        return stats.get();
    }

    /** How much of the source could not be read and is zeroes in the target. */
    public long brokenBytes() {
        return broken.countBytes();
    }

    /** Stops as soon as possible; {@link #run} then throws an exception with that message. Any thread. */
    public synchronized void cancel(String why) {
        cancelled = why;
        if (copy != null) {
            copy.cancel(why);
        }
    }

    /**
     * Does it. When it throws, nothing has changed under the target's name.
     *
     * @throws IOException one line for the user
     */
    public void run() throws IOException {
        checkTarget();
        boolean qcow2 = options.targetFormat().equals("qcow2");
        Qcow2Header header = qcow2 ? Qcow2Options.header(options.targetOptions()) : null;
        boolean compressed = options.compression() != null;
        int targetUnit = header == null ? RawTarget.UNIT_BYTES : header.clusterBytes();
        int chunkBytes = qcow2 && compressed ? targetUnit : Math.max(CHUNK_BYTES, targetUnit);
        // What is compressed is compressed as a whole, with the zeroes in it.
        int unitBytes = compressed ? chunkBytes : targetUnit;
        ResumeJournal journal = options.resume() ? Resumption.journal(options) : null;
        long startBytes = journal == null ? 0 : journal.startBytes();
        try (ImageSource source = Sources.open(options, chunkBytes, unitBytes, startBytes, broken);
                Targets targets = new Targets(options, header);
                ImageTarget target = targets.open(source.sizeBytes(), startBytes);
                Backing backing = Backing.of(header, options.target())) {
            if (journal == null) {
                copy(source, target, backing, null, 0);
                targets.commit();
            } else {
                copyResumably(source, target, targets, journal, backing);
            }
        }
    }

    private void checkTarget() throws IOException {
        Path source = Path.of(options.source());
        Path target = Path.of(options.target());
        if (options.control() == null
                && Files.exists(source)
                && Files.exists(target)
                && Files.isSameFile(source, target)) {
            throw new IOException(options.target() + ": is the source itself");
        }
    }

    private void copyResumably(
            ImageSource source, ImageTarget target, Targets targets, ResumeJournal journal, Backing backing)
            throws IOException {
        // Before the disk can be full: from here on there is always something to go on from.
        journal.record(journal.startBytes());
        targets.keep();
        try {
            Checkpoints checkpoints = new Checkpoints(journal, () -> targets.sync(target));
            copy(source, target, backing, checkpoints, journal.startBytes());
            targets.commit();
        } catch (IOException e) {
            throw new IOException(e.getMessage() + "; what was copied is kept: the same command goes on with it", e);
        }
        journal.delete();
    }

    private void copy(
            ImageSource source, ImageTarget target, Backing backing, @Nullable Checkpoints checkpoints, long startBytes)
            throws IOException {
        CopyProgress counters = new CopyProgress(source.sizeBytes());
        counters.resumedAt(startBytes);
        // The codec engine looks for zeroes itself, once.
        int zeroUnit = options.compression() == null ? Math.min(options.zeroUnitBytes(), target.unitBytes()) : 0;
        CopyRules rules = new CopyRules(
                options.threadCount(),
                new RateLimit(options.bytesPerSecond()),
                () -> backing.filter(PieceFilter.ofZeroes(zeroUnit), target.unitBytes(), source.chunkBytes()),
                checkpoints);
        CopyWork begun = begin(source, target, rules, counters);
        synchronized (this) {
            copy = begun;
            if (cancelled != null) {
                begun.cancel(cancelled);
            }
        }
        progress = counters;
        begun.run();
    }

    private CopyWork begin(ImageSource source, ImageTarget target, CopyRules rules, CopyProgress counters) {
        Compression compression = options.compression();
        if (compression == null || !(target instanceof BlockSink sink)) {
            return new ParallelCopy(source, target, rules, counters);
        }
        CodecSettings settings = CodecSettings.of(codec(compression), rules.threadCount(), source.chunkBytes())
                .withBusyPolicy(compression.storesWhenBusy() ? BusyPolicy.STORE : BusyPolicy.WAIT);
        CompressingCopy compressing = new CompressingCopy(
                source,
                sink,
                rules,
                counters,
                compression.level() == 0 ? settings : settings.withLevel(compression.level()));
        stats = compressing::stats;
        return compressing;
    }

    private BlockCodec codec(Compression compression) {
        boolean zlib = compression.type().equals("zlib");
        if (options.targetFormat().equals("qcow2")) {
            return zlib ? BlockCodec.QCOW2_ZLIB : BlockCodec.QCOW2_ZSTD;
        }
        return zlib ? BlockCodec.GZIP : BlockCodec.ZSTD;
    }
}
