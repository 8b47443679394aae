// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.qcow2.Qcow2Writer;
import java.io.IOException;

/** A new qcow2 image: clusters that have data are placed in the file one behind the other, in the order in which they come. */
final class Qcow2Target implements ImageTarget {
    private final Qcow2Writer writer;
    private final boolean hasBacking;
    private final boolean sparse;
    private final boolean storesZeroes;

    /**
     * @param writer is closed with this target
     * @param hasBacking whether zeroes must be told apart from what a backing file may have
     * @param sparse whether what is not written of the file reads as zeroes
     * @param storesZeroes whether zeroes are stored like data
     */
    Qcow2Target(Qcow2Writer writer, boolean hasBacking, boolean sparse, boolean storesZeroes) {
        this.writer = writer;
        this.hasBacking = hasBacking;
        this.sparse = sparse;
        this.storesZeroes = storesZeroes;
    }

    @Override
    public int unitBytes() {
        return writer.clusterBytes();
    }

    @Override
    public void write(Chunk chunk) throws IOException {
        long start = 0;
        while (start < chunk.lengthBytes()) {
            Chunk.Kind kind = chunk.unitKind(start, unitBytes());
            long end = chunk.unitsEnd(start, unitBytes(), kind);
            write(chunk, kind, start, end);
            start = end;
        }
    }

    private void write(Chunk chunk, Chunk.Kind kind, long start, long end) throws IOException {
        long cluster = (chunk.offsetBytes() + start) / unitBytes();
        long count = (end - start + unitBytes() - 1) / unitBytes();
        if (kind == Chunk.Kind.DATA) {
            long offset = writer.place(cluster, (int) count);
            if (sparse) {
                writeRuns(chunk, start, end, offset);
            } else {
                writer.file().write(chunk.address(start), offset, (int) count * unitBytes());
            }
        } else if (kind == Chunk.Kind.SAME) {
            writer.skip(cluster, count);
        } else {
            writeZeroes(cluster, count);
        }
    }

    /** Clusters that read as zeroes. */
    void writeZeroes(long cluster, long count) throws IOException {
        if (!hasBacking && !storesZeroes) {
            writer.skip(cluster, count);
        } else if (writer.hasZeroClusters() && !storesZeroes) {
            writer.placeZeroes(cluster, count);
        } else {
            storeZeroes(cluster, count);
        }
    }

    /** Only what is no zeroes: the rest is a hole in the file. */
    private void writeRuns(Chunk chunk, long start, long end, long offset) throws IOException {
        for (int i = 0; i < chunk.runCount(); i++) {
            long from = Math.max(start, chunk.runStart(i));
            long to = Math.min(end, chunk.runEnd(i));
            if (from < to && chunk.kind(i) == Chunk.Kind.DATA) {
                writer.file().write(chunk.address(from), offset + from - start, (int) (to - from));
            }
        }
    }

    private void storeZeroes(long firstCluster, long count) throws IOException {
        int atOnce = Math.max(1, (1 << 30) / unitBytes());
        for (long done = 0; done < count; done += atOnce) {
            int now = (int) Math.min(atOnce, count - done);
            long offset = writer.place(firstCluster + done, now);
            ZeroPage.write(writer.file(), offset, (long) now * unitBytes());
        }
    }

    @Override
    public void finish(long sizeBytes) throws IOException {
        writer.finish(sizeBytes);
    }

    @Override
    public void close() {
        writer.close();
    }
}
