// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFFSET_MASK;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_COMPRESSED;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** Reads an image the simplest way: sector by sector. On a loop. */
final class PlainReader implements ImageWriter.GuestReader {
    private static final int SECTOR_BYTES = 512;

    private final WritableImage image;
    private final MetadataFile file;
    private final MetadataFile data;
    private final byte[] backing;
    private final int clusterBits;

    PlainReader(WritableImage image, MetadataFile file, MetadataFile data, byte[] backing) {
        this.image = image;
        this.file = file;
        this.data = data;
        this.backing = backing;
        this.clusterBits = image.header.clusterBits();
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        byte[] all = new byte[(int) lengthBytes];
        for (int done = 0; done < lengthBytes; done += SECTOR_BYTES) {
            int result = sector(offsetBytes + done, all, done);
            if (result < 0) {
                return result;
            }
        }
        int done = 0;
        for (int i = 0; i < iovCount; i++) {
            long iov = iovAddress + (long) i * Iovec.SIZE_BYTES;
            NativeMemory.put(all, done, Iovec.base(iov), (int) Iovec.length(iov));
            done += (int) Iovec.length(iov);
        }
        return 0;
    }

    private int sector(long at, byte[] target, int index) {
        L2Entry entry = new L2Entry();
        if (image.l1.tableOffset(image.cache.l1Index(at)) != 0) {
            L2Slice slice;
            while ((slice = image.cache.find(at)) == null) {
                int result = image.cache.load(file, at);
                if (result < 0) {
                    return result;
                }
            }
            slice.read(image.cache.entryIndex(at), entry);
        }
        long inCluster = at & ((1L << clusterBits) - 1);
        if ((entry.entry & OFLAG_COMPRESSED) != 0) {
            return inflated(entry.entry, (int) inCluster, target, index);
        }
        boolean zero;
        boolean allocated;
        if (image.header.hasSubclusters()) {
            int subcluster = (int) (inCluster >>> (clusterBits - 5));
            zero = (entry.bitmap >>> (32 + subcluster) & 1) != 0;
            allocated = (entry.bitmap >>> subcluster & 1) != 0;
        } else {
            zero = image.header.version() > 2 && (entry.entry & 1) != 0;
            allocated = (entry.entry & OFFSET_MASK) != 0 || (image.header.hasDataFile() && entry.entry != 0);
        }
        if (zero) {
            return 0;
        }
        if (allocated) {
            return bytes((entry.entry & OFFSET_MASK) + inCluster, SECTOR_BYTES, target, index);
        }
        int there = Math.clamp(backing.length - at, 0, SECTOR_BYTES);
        System.arraycopy(backing, (int) Math.min(at, backing.length), target, index, there);
        return 0;
    }

    private int bytes(long offset, int length, byte[] target, int index) {
        long buffer = NativeMemory.allocate(length);
        int result = data.read(offset, buffer, length);
        NativeMemory.get(buffer, target, index, length);
        NativeMemory.free(buffer);
        return result;
    }

    private int inflated(long entry, int inCluster, byte[] target, int index) {
        byte[] compressed = new byte[Qcow2Layout.compressedBytes(entry, clusterBits)];
        int result = bytes(Qcow2Layout.compressedOffset(entry, clusterBits), compressed.length, compressed, 0);
        Inflater inflater = new Inflater(true);
        try {
            byte[] cluster = new byte[1 << clusterBits];
            inflater.setInput(compressed);
            inflater.inflate(cluster);
            System.arraycopy(cluster, inCluster, target, index, SECTOR_BYTES);
            return result;
        } catch (DataFormatException e) {
            return -Errno.EIO;
        } finally {
            inflater.end();
        }
    }
}
