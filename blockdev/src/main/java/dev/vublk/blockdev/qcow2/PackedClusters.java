// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;

/**
 * Compressed clusters of a new image, one behind the other without gaps, in clusters of the file that they share. They are
 * gathered in memory and written in large pieces. Used by one thread at a time.
 *
 * <pre>
 *   host clusters   |                |                |      (plain cluster)      |         …
 *   compressed      | 1   | 2   | 3    | 4  | 5   |..........................| 6 …
 *                                                  dropped if 6 does not fit
 * </pre>
 */
final class PackedClusters implements AutoCloseable {
    /** What is gathered before it is written: large enough to make calls rare. Otherwise arbitrary. */
    private static final int GATHER_BYTES = 1 << 20;

    private final OfflineFile file;
    private final AppendedClusters clusters;
    private final int clusterBits;

    /** Where the next data goes, and how far the clusters reach that were taken for it; equal when there are none. */
    private long position;

    private long endBytes;

    private final long gathered;
    private int gatheredBytes;
    /** Where the gathered bytes belong. */
    private long gatheredOffset;

    PackedClusters(OfflineFile file, AppendedClusters clusters, int clusterBits) {
        this.file = file;
        this.clusters = clusters;
        this.clusterBits = clusterBits;
        gathered = NativeMemory.allocateZeroed(Math.max(GATHER_BYTES, 2 << clusterBits));
    }

    /** Stores compressed data, which is not longer than a cluster: where it begins. */
    long add(long address, int lengthBytes) throws IOException {
        makeRoom(lengthBytes);
        long offset = position;
        if (offset != gatheredOffset + gatheredBytes || gatheredBytes + lengthBytes > GATHER_BYTES) {
            flush();
            gatheredOffset = offset;
        }
        NativeMemory.copy(address, gathered + gatheredBytes, lengthBytes);
        gatheredBytes += lengthBytes;
        position += lengthBytes;
        long last = (offset + lengthBytes - 1) >>> clusterBits;
        for (long cluster = offset >>> clusterBits; cluster <= last; cluster++) {
            clusters.count(cluster);
        }
        return offset;
    }

    private void makeRoom(int lengthBytes) throws IOException {
        long room = endBytes - position;
        if (room > 0 && !clusters.canCount(position >>> clusterBits)) {
            room = 0;
            position = endBytes;
        }
        if (room >= lengthBytes) {
            return;
        }
        boolean contiguous = endBytes == clusters.next() << clusterBits;
        if (!contiguous) {
            room = 0;
        }
        long count = (lengthBytes - room + (1L << clusterBits) - 1) >>> clusterBits;
        long first = clusters.allocateUncounted(count);
        if (!contiguous) {
            position = first << clusterBits;
        }
        endBytes = (first + count) << clusterBits;
    }

    /** The first cluster that may still get data. */
    long firstChangeable() {
        return position < endBytes ? position >>> clusterBits : clusters.next();
    }

    /** Writes what has been gathered. */
    void flush() throws IOException {
        if (gatheredBytes > 0) {
            file.write(gathered, gatheredOffset, gatheredBytes);
            gatheredOffset += gatheredBytes;
            gatheredBytes = 0;
        }
    }

    @Override
    public void close() {
        NativeMemory.free(gathered);
    }
}
