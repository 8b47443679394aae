// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.ContainerChannel;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.qcow2.MappedRun.Kind;
import java.util.ArrayList;
import org.jspecify.annotations.Nullable;

/**
 * A qcow2 image on one loop. Runs on its loop; a request whose tables are in memory and that is not compressed allocates nothing.
 *
 * <p>A request is cut into runs, each of which comes from one place: the file, a compressed cluster, the backing image, or is
 * zeroes. A request of one run goes on with the guest's own vector.
 */
final class Qcow2Channel implements BlockChannel {
    private final Qcow2Driver driver;
    private final IoContext context;
    private final ContainerChannel file;
    private final ContainerChannel data;
    private final @Nullable BlockChannel backing;
    private final MetadataFile metadata;
    private final MetadataFile dataFile;
    private final ArrayList<Slot> idle = new ArrayList<>();

    /** What this channel is set up for; compared with the driver's before each request. */
    private Qcow2Image image;

    private @Nullable CompressedClusters compressed;

    /** Who changes the image; null where nobody may. */
    private @Nullable ImageChanges changes;

    Qcow2Channel(Qcow2Driver driver, IoContext context) {
        this.driver = driver;
        this.context = context;
        this.image = driver.image();
        this.file = image.file.openChannel(context);
        this.data = image.data == image.file ? file : image.data.openChannel(context);
        this.backing = image.backing == null ? null : image.backing.openChannel(context);
        this.metadata = new ChannelMetadataFile(file, context);
        this.dataFile = data == file ? metadata : new ChannelMetadataFile(data, context);
        this.changes = changesOf(image);
    }

    private @Nullable ImageChanges changesOf(Qcow2Image now) {
        return now.writable == null
                ? null
                : new ImageChanges(now.writable, now.backingBytes, metadata, dataFile, this::readAsGuest);
    }

    /** What a request needs while it is under way; pooled. */
    private static final class Slot {
        private final MappedRun run = new MappedRun();
        private final SubVector vector = new SubVector();
    }

    /** The image as it is now: another one after it has been away. */
    private Qcow2Image image() {
        Qcow2Image now = driver.image();
        if (now != image) {
            image = now;
            if (changes != null) {
                changes.close();
            }
            changes = changesOf(now);
            if (compressed != null) {
                compressed.close();
                compressed = null; // Made for clusters of the size and the kind that the image then had.
            }
        }
        return now;
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        Qcow2Image now = image();
        ImageChanges writer = changes;
        if (writer == null) {
            return read(now, offsetBytes, iovAddress, iovCount, lengthBytes);
        }
        long epoch = writer.requests().enter();
        try {
            return read(now, offsetBytes, iovAddress, iovCount, lengthBytes);
        } finally {
            writer.requests().exit(epoch);
        }
    }

    /** For a writer, which needs what its cluster held before. */
    private int readAsGuest(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        return read(image, offsetBytes, iovAddress, iovCount, lengthBytes);
    }

    private int read(Qcow2Image now, long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        Slot slot = idle.isEmpty() ? new Slot() : idle.removeLast();
        int result = find(now, slot.run, offsetBytes, lengthBytes);
        if (result == 0) {
            result = slot.run.lengthBytes == lengthBytes
                    ? readRun(slot.run, offsetBytes, iovAddress, iovCount)
                    : readRuns(now, slot, offsetBytes, iovAddress, iovCount, lengthBytes);
        }
        idle.add(slot);
        return result;
    }

    /** As the image's map says, but what is in no image of the chain is zeroes. */
    private int find(Qcow2Image now, MappedRun run, long offsetBytes, long lengthBytes) {
        int result = findHere(now, run, offsetBytes, lengthBytes);
        if (result == 0 && run.kind == Kind.UNALLOCATED) {
            if (offsetBytes >= now.backingBytes) {
                run.kind = Kind.ZERO;
            } else {
                run.lengthBytes = Math.min(run.lengthBytes, now.backingBytes - offsetBytes);
            }
        }
        return result;
    }

    /** As the image's map says; what makes no sense is said once, and is an I/O error. */
    private int findHere(Qcow2Image now, MappedRun run, long offsetBytes, long lengthBytes) {
        int result = now.map.find(metadata, offsetBytes, lengthBytes, run);
        if (result == ClusterMap.CORRUPT) {
            now.corruptionSeen(offsetBytes);
            return -Errno.EIO;
        }
        return result;
    }

    private int readRuns(Qcow2Image now, Slot slot, long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        if (!slot.vector.begin(iovAddress, iovCount)) {
            return -Errno.ENOMEM;
        }
        long at = offsetBytes;
        long end = offsetBytes + lengthBytes;
        while (true) {
            slot.vector.take(slot.run.lengthBytes);
            int result = readRun(slot.run, at, slot.vector.iov(), slot.vector.count());
            at += slot.run.lengthBytes;
            if (result < 0 || at == end) {
                return result;
            }
            result = find(now, slot.run, at, end - at);
            if (result < 0) {
                return result;
            }
        }
    }

    private int readRun(MappedRun run, long offsetBytes, long iovAddress, int iovCount) {
        return switch (run.kind) {
            case DATA -> data.readv(run.hostOffset, iovAddress, iovCount, run.lengthBytes);
            case ZERO -> zero(iovAddress, iovCount);
            case COMPRESSED -> {
                long inCluster = offsetBytes & (image.header.clusterBytes() - 1);
                yield compressed().readv(run.entry, inCluster, iovAddress, run.lengthBytes);
            }
            case UNALLOCATED ->
                backing == null
                        ? zero(iovAddress, iovCount)
                        : backing.readv(offsetBytes, iovAddress, iovCount, run.lengthBytes);
        };
    }

    private CompressedClusters compressed() {
        CompressedClusters existing = compressed;
        if (existing == null) {
            existing = new CompressedClusters(context, metadata, image.header);
            compressed = existing;
        }
        return existing;
    }

    private static int zero(long iovAddress, int iovCount) {
        try {
            for (int i = 0; i < iovCount; i++) {
                long iov = iovAddress + (long) i * Iovec.SIZE_BYTES;
                NativeMemory.zero(Iovec.base(iov), Iovec.length(iov));
            }
            NativeMemory.awaitFault();
            return 0;
        } catch (InternalError pageGone) {
            return -Errno.EFAULT; // what the kernel says when a buffer's file was truncated under its mapping
        }
    }

    @Override
    public int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        Qcow2Image now = image();
        MappedRun run = new MappedRun();
        int result = findHere(now, run, offsetBytes, lengthBytes);
        if (result < 0) {
            return result;
        }
        String dataPath = now.data.path();
        switch (run.kind) {
            case DATA -> {
                return statusOfData(run, dataPath, out);
            }
            case COMPRESSED -> out.set(run.lengthBytes, true, false, true, true, 0, -1, null);
            case ZERO ->
                out.set(
                        run.lengthBytes,
                        true,
                        true,
                        false,
                        false,
                        0,
                        run.hostOffset,
                        run.hostOffset < 0 ? null : dataPath);
            case UNALLOCATED -> {
                return statusBelow(now, offsetBytes, run.lengthBytes, out);
            }
        }
        return 0;
    }

    /** A cluster of a preallocated image may be a hole of the file: QEMU looks when it suspects so, and here it is always seen. */
    private int statusOfData(MappedRun run, String dataPath, BlockStatus out) {
        int result = data.status(run.hostOffset, run.lengthBytes, out);
        if (result == 0) {
            out.set(out.lengthBytes, true, out.zero, true, false, 0, run.hostOffset, dataPath);
        }
        return result;
    }

    private int statusBelow(Qcow2Image now, long offsetBytes, long lengthBytes, BlockStatus out) {
        if (backing == null || offsetBytes >= now.backingBytes) {
            // What a short backing file lacks is nowhere, whatever lies further down.
            out.set(lengthBytes, false, true, false, false, 0, -1, null);
            return 0;
        }
        int result = backing.status(offsetBytes, Math.min(lengthBytes, now.backingBytes - offsetBytes), out);
        if (result == 0) {
            out.depth++;
        }
        return result;
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        image();
        ImageChanges writer = changes;
        return writer == null
                ? -Errno.EROFS
                : writer.writer().writev(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
    }

    @Override
    public int flush() {
        image();
        ImageChanges writer = changes;
        return writer == null ? 0 : writer.writer().flush();
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        image();
        ImageChanges writer = changes;
        return writer == null ? -Errno.EROFS : writer.eraser().discard(offsetBytes, lengthBytes);
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        image();
        ImageChanges writer = changes;
        return writer == null ? -Errno.EROFS : writer.eraser().writeZeroes(offsetBytes, lengthBytes, mayUnmap, fua);
    }

    @Override
    public void close() {
        if (changes != null) {
            changes.close();
        }
        if (compressed != null) {
            compressed.close();
        }
        idle.forEach(slot -> slot.vector.close());
        idle.clear();
        if (backing != null) {
            backing.close();
        }
        if (data != file) {
            data.close();
        }
        file.close();
    }
}
