// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.codec.ZeroScan;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;

/**
 * Compares pieces with the target's backing file, cluster by cluster: what is there already is not copied. What the source says
 * of its own backing file is not trusted for that. Belongs to one thread.
 */
final class BackingFilter implements PieceFilter {
    private final BlockChannel backing;
    private final String name;
    private final long sizeBytes;
    private final int unitBytes;
    private final DiskReading reading;
    private final CodecBuffer buffer;
    private final BlockStatus status = new BlockStatus();
    private final Chunk result = new Chunk(0);
    private final PieceFilter zeroes;

    /**
     * @param unitBytes the target's cluster
     * @param pieceBytes how much is compared at once: a multiple of the cluster
     */
    BackingFilter(BlockDriver backing, String name, int unitBytes, int pieceBytes, PieceFilter zeroes) {
        this.backing = backing.openChannel(new BlockingIoContext());
        this.name = name;
        this.unitBytes = unitBytes;
        this.zeroes = zeroes;
        sizeBytes = backing.limits().sizeBytes();
        reading = new DiskReading(this.backing, name, new BrokenSectors(false));
        buffer = new CodecBuffer(pieceBytes);
    }

    @Override
    public void apply(Chunk chunk) throws IOException {
        zeroes.apply(chunk);
        result.begin(chunk.offsetBytes());
        while (result.lengthBytes() < chunk.lengthBytes()) {
            long start = result.lengthBytes();
            if (chunk.unitKind(start, unitBytes) == Chunk.Kind.ZERO) {
                compareZeroes(chunk, start, chunk.unitsEnd(start, unitBytes, Chunk.Kind.ZERO));
            } else {
                compareData(chunk, start, chunk.unitsEnd(start, unitBytes, Chunk.Kind.DATA));
            }
        }
        chunk.takeRuns(result);
    }

    /** Zeroes of the source: the same where the backing file has zeroes, or ends. */
    private void compareZeroes(Chunk chunk, long start, long end) throws IOException {
        long at = start;
        while (at < end) {
            long known = knownZeroes(chunk.offsetBytes() + at, end - at);
            long same = at + known == end ? known : known & -unitBytes;
            result.add(Chunk.Kind.SAME, same);
            at += same;
            if (same == 0) {
                int piece = (int) Math.min(buffer.capacityBytes(), end - at);
                load(chunk.offsetBytes() + at, piece);
                for (int done = 0; done < piece; done += unitBytes) {
                    int unit = Math.min(unitBytes, piece - done);
                    boolean zero = ZeroScan.isZero(buffer.address() + done, unit);
                    result.add(zero ? Chunk.Kind.SAME : Chunk.Kind.ZERO, unit);
                }
                at += piece;
            }
        }
    }

    /** Data of the source, which is no longer than a piece. */
    private void compareData(Chunk chunk, long start, long end) throws IOException {
        long length = end - start;
        if (knownZeroes(chunk.offsetBytes() + start, length) == length) {
            result.add(Chunk.Kind.DATA, length);
            return;
        }
        load(chunk.offsetBytes() + start, (int) length);
        for (long done = 0; done < length; done += unitBytes) {
            long unit = Math.min(unitBytes, length - done);
            boolean same = NativeMemory.equals(buffer.address() + done, chunk.address(start + done), unit);
            result.add(same ? Chunk.Kind.SAME : Chunk.Kind.DATA, unit);
        }
    }

    /** How many bytes from here on the backing file knows to be zeroes. */
    private long knownZeroes(long offset, long length) throws IOException {
        long known = 0;
        while (known < length) {
            if (offset + known >= sizeBytes) {
                return length;
            }
            askStatus(offset + known, Math.min(length - known, sizeBytes - offset - known));
            if (!status.zero) {
                return known;
            }
            known += status.lengthBytes;
        }
        return known;
    }

    private void load(long offset, int length) throws IOException {
        int there = (int) Math.max(0, Math.min(length, sizeBytes - offset));
        int at = 0;
        while (at < there) {
            askStatus(offset + at, there - at);
            int run = (int) status.lengthBytes;
            if (status.zero) {
                NativeMemory.zero(buffer.address() + at, run);
            } else {
                reading.read(offset + at, buffer.address() + at, run);
            }
            at += run;
        }
        NativeMemory.zero(buffer.address() + there, length - there);
    }

    private void askStatus(long offset, long length) throws IOException {
        int failure = backing.status(offset, length, status);
        if (failure < 0) {
            throw new IOException(name + ": cannot tell what is at offset " + offset + ": " + Errno.describe(failure));
        }
    }

    @Override
    public void close() {
        zeroes.close();
        result.close();
        buffer.close();
        reading.close();
        backing.close();
    }
}
