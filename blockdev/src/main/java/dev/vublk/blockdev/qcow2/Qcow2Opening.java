// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.LateLogger;
import dev.vublk.blockdev.file.ContainerChannel;
import dev.vublk.blockdev.file.ContainerFile;
import dev.vublk.blockdev.file.FileProbe;
import dev.vublk.blockdev.file.ImageFormat;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The way from options to an opened qcow2 image with its backing chain, with one clear line for each way to fail. Blocks; any
 * thread.
 */
final class Qcow2Opening {
    private static final LateLogger LOG = new LateLogger(Qcow2Opening.class);

    /** Longer chains are a mistake or an attack; each image takes descriptors and memory. Arbitrary. */
    private static final int CHAIN_MAX = 200;

    /** Tables in memory where nothing is said: of 256 GiB with clusters of 64 KiB. QEMU's default. */
    private static final long CACHE_DEFAULT_BYTES = 32 << 20;

    private static final int SECTOR_BYTES = 512;

    private final BlockOptions options;

    /** The files of the chain so far, by what they are and not by name. */
    private final Set<String> chain;

    private Qcow2Opening(BlockOptions options, Set<String> chain) {
        this.options = options;
        this.chain = chain;
    }

    static Qcow2Files openFiles(BlockOptions options) throws BlockOpenException {
        return new Qcow2Opening(options, new HashSet<>()).openFiles();
    }

    private Qcow2Files openFiles() throws BlockOpenException {
        if (!chain.add(ImageReference.identity(options.image()))) {
            throw refused("is its own backing file, directly or by others");
        }
        if (chain.size() > CHAIN_MAX) {
            throw refused("its backing chain has more than " + CHAIN_MAX + " files");
        }
        ContainerFile file = ContainerFile.open(options.withType(ImageType.QCOW2)); // No longer a guess.
        ContainerFile data = file;
        try {
            Qcow2Header header = readHeader(file);
            if (header.hasDataFile()) {
                data = openData(header);
            }
            return new Qcow2Files(file, data, openBacking(header));
        } catch (Throwable failure) {
            if (data != file) {
                data.close();
            }
            file.close();
            throw failure;
        }
    }

    /** The header of an opened image, as it is now. */
    static Qcow2Header readHeader(ContainerFile file) throws BlockOpenException {
        try (ContainerChannel channel = file.openBlockingChannel()) {
            int headBytes = (int) Math.min(file.sizeBytes(), 1 << Qcow2Layout.CLUSTER_BITS_MIN);
            ByteBuffer head = read(channel, file, 0, headBytes);
            int clusterBytes = Qcow2Header.clusterBytes(head, file.path());
            return Qcow2Header.decode(
                    read(channel, file, 0, (int) Math.min(file.sizeBytes(), clusterBytes)), file.path());
        }
    }

    private static ByteBuffer read(ContainerChannel channel, ContainerFile file, long offsetBytes, int lengthBytes)
            throws BlockOpenException {
        long buffer = NativeMemory.allocateZeroed(Math.max(lengthBytes, 1));
        try {
            int result = channel.read(offsetBytes, buffer, lengthBytes);
            if (result < 0) {
                throw new BlockOpenException(file.path() + ": cannot be read: " + Errno.describe(result));
            }
            byte[] bytes = new byte[lengthBytes];
            NativeMemory.get(buffer, bytes, 0, lengthBytes);
            return ByteBuffer.wrap(bytes);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private ContainerFile openData(Qcow2Header header) throws BlockOpenException {
        String name = header.dataFile();
        if (name == null) {
            throw refused("its data is in another file, which it does not name");
        }
        String path = ImageReference.resolve(options.image(), name, "data file");
        if (!chain.add(ImageReference.identity(path))) {
            throw refused("its data file '" + ImageReference.printable(name) + "' is a file of its own chain");
        }
        try {
            return ContainerFile.open(
                    options.withImage(path).withType(ImageType.RAW).withSnapshot(null));
        } catch (BlockOpenException e) {
            throw new BlockOpenException(options.image() + ": its data file: " + e.getMessage());
        }
    }

    private @Nullable BlockDriver openBacking(Qcow2Header header) throws BlockOpenException {
        String name = header.backingFile();
        if (name == null) {
            return null;
        }
        String path = ImageReference.resolve(options.image(), name, "backing file");
        BlockOptions backing = options.withImage(path)
                .withType(backingType(header, path))
                .withReadOnly(true)
                .withSnapshot(null)
                .withLogicalBlockBytes(0);
        try {
            if (backing.type() == ImageType.RAW) {
                if (!chain.add(ImageReference.identity(path))) {
                    throw new BlockOpenException(path + ": is its own backing file, directly or by others");
                }
                return ContainerFile.open(backing);
            }
            return Qcow2Driver.open(backing, new Qcow2Opening(backing, chain).openFiles());
        } catch (BlockOpenException e) {
            throw new BlockOpenException(options.image() + ": its backing file: " + e.getMessage());
        }
    }

    private ImageType backingType(Qcow2Header header, String path) throws BlockOpenException {
        String format = header.backingFormat();
        if (format != null) {
            return switch (format) {
                case "raw", "file", "host_device" -> ImageType.RAW;
                case "qcow2" -> ImageType.QCOW2;
                default ->
                    throw refused("its backing file is of format '" + ImageReference.printable(format)
                            + "', which is not supported; raw and qcow2 are");
            };
        }
        ImageFormat probed = probedBacking(path);
        if (probed != null && probed.isForeign()) {
            throw refused("its backing file '" + ImageReference.printable(path) + "' looks like " + probed.label()
                    + ", which is not supported; raw and qcow2 are");
        }
        ImageType type = probed == ImageFormat.QCOW2 ? ImageType.QCOW2 : ImageType.RAW;
        LOG.get()
                .warn(
                        "{}: does not say of which format its backing file is; it looks like {} (qemu-img rebase -u -F names one)",
                        options.image(),
                        type == ImageType.RAW ? "raw" : "qcow2");
        return type;
    }

    private @Nullable ImageFormat probedBacking(String path) throws BlockOpenException {
        try {
            return FileProbe.format(path);
        } catch (BlockOpenException e) {
            throw new BlockOpenException(options.image() + ": its backing file: " + e.getMessage());
        }
    }

    /** The image in files that have been opened: reads its header and its L1 table, or a snapshot's. */
    static Qcow2Image load(Qcow2Files files, BlockOptions options) throws BlockOpenException {
        return new Qcow2Opening(options, Set.of()).load(files);
    }

    private Qcow2Image load(Qcow2Files files) throws BlockOpenException {
        Qcow2Header header = readHeader(files.file());
        if (!options.readOnly() && header.isCorrupt()) {
            throw refused("is marked as corrupt: vublk check --repair may help; it can be opened with read-only=on");
        }
        long l1Offset = header.l1TableOffset();
        int l1Size = header.l1Size();
        long diskBytes = header.sizeBytes();
        if (options.snapshot() != null) {
            SnapshotTable.Entry snapshot = snapshot(header, options.snapshot());
            l1Offset = snapshot.l1TableOffset();
            l1Size = snapshot.l1Size();
            diskBytes = snapshot.diskBytes() < 0 ? diskBytes : snapshot.diskBytes();
            checkSnapshot(header, snapshot, diskBytes);
        }
        int block = options.logicalBlockBytes();
        long sizeBytes = diskBytes & -SECTOR_BYTES; // as QEMU: whole sectors
        if (block > SECTOR_BYTES && sizeBytes % block != 0) {
            throw refused("its size of " + sizeBytes + " bytes is not a multiple of the block size " + block);
        }
        L1Table l1 = new L1Table(l1Offset, readTable(files.file(), l1Offset, l1Size));
        return new Qcow2Image(
                files, header, l1, sizeBytes, cacheBytes(), refcountBlocks(files.file(), header), options.discard());
    }

    /** The entries of the refcount table; null for an image that is only read. */
    private long @Nullable [] refcountBlocks(ContainerFile file, Qcow2Header header) throws BlockOpenException {
        if (options.readOnly()) {
            return null;
        }
        int entryCount = header.refcountTableClusters() << (header.clusterBits() - 3);
        long[] offsets = readTable(file, header.refcountTableOffset(), entryCount);
        for (long offset : offsets) {
            if ((offset & (header.clusterBytes() - 1)) != 0 || offset < 0 || offset > Qcow2Layout.FILE_OFFSET_MAX) {
                throw refused("its refcount table makes no sense: vublk check --repair may help");
            }
        }
        return offsets;
    }

    /** Makes the refcounts right of an image that was not closed cleanly and is going to be written. */
    static void repairDirty(Qcow2Files files, BlockOptions options) throws BlockOpenException {
        if (options.readOnly() || !readHeader(files.file()).isDirty()) {
            return;
        }
        LOG.get().warn("{}: was not closed cleanly: its refcounts are made right", options.image());
        // A descriptor without O_DIRECT, and without locks: those of the container hold.
        int fd = PosixFile.open(options.image(), PosixFile.O_RDWR);
        if (fd < 0) {
            throw new BlockOpenException(options.image() + ": cannot be opened: " + Errno.describe(fd));
        }
        try {
            Qcow2Repair.ofDirty(fd, options.image());
            files.file().refreshSize();
        } catch (IOException e) {
            throw new BlockOpenException(String.valueOf(e.getMessage()));
        } finally {
            PosixFile.close(fd);
        }
    }

    private long cacheBytes() {
        return options.l2CacheBytes() == 0 ? CACHE_DEFAULT_BYTES : options.l2CacheBytes();
    }

    private SnapshotTable.Entry snapshot(Qcow2Header header, String wanted) throws BlockOpenException {
        SnapshotTable.Entry byName = null;
        try (OfflineFile file = OfflineFile.open(options.image(), false, true)) {
            for (SnapshotTable.Entry entry : SnapshotTable.read(file, header).entries()) {
                if (entry.id().equals(wanted)) {
                    return entry; // an id before a name, as QEMU has it
                }
                if (byName == null && entry.name().equals(wanted)) {
                    byName = entry;
                }
            }
        } catch (BlockOpenException e) {
            throw e;
        } catch (IOException e) {
            throw new BlockOpenException(String.valueOf(e.getMessage()));
        }
        if (byName == null) {
            throw refused("has no snapshot with the id or name '" + wanted + "'");
        }
        return byName;
    }

    private void checkSnapshot(Qcow2Header header, SnapshotTable.Entry snapshot, long diskBytes)
            throws BlockOpenException {
        int l1Size = snapshot.l1Size();
        long offset = snapshot.l1TableOffset();
        boolean sound = l1Size >= 0
                && l1Size <= Qcow2Layout.L1_MAX_BYTES / Qcow2Layout.L1_ENTRY_BYTES
                && offset >= 0
                && offset < Qcow2Layout.FILE_OFFSET_MAX
                && (offset & header.clusterBytes() - 1) == 0
                && diskBytes >= 0
                && l1Size >= -Math.floorDiv(-diskBytes, header.l1EntryCoverageBytes());
        if (!sound) {
            throw refused("the L1 table of snapshot '" + snapshot.name() + "' makes no sense");
        }
    }

    private static long[] readTable(ContainerFile file, long offsetBytes, int entryCount) throws BlockOpenException {
        try (ContainerChannel channel = file.openBlockingChannel()) {
            ByteBuffer bytes = read(channel, file, offsetBytes, entryCount * Qcow2Layout.L1_ENTRY_BYTES);
            long[] entries = new long[entryCount];
            bytes.asLongBuffer().get(entries);
            return entries;
        }
    }

    private BlockOpenException refused(String why) {
        return new BlockOpenException(options.image() + ": qcow2: " + why);
    }
}
