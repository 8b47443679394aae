// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.powercut;

import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.vhostuser.memory.HostMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;

/**
 * A file in memory on a disk with a volatile write cache, as system calls show it, in real time: calls take a while, overlap,
 * and end in any order. An image of what a power cut would leave can be had at any moment. Any thread.
 */
final class VolatileDisk {
    /** What is written as a whole: the physical block that the guest is told of. */
    static final int UNIT_BYTES = 4096;

    private final byte[] zeroes = new byte[UNIT_BYTES];
    private final VolatileWrites<byte[]> writes;
    private final Random random;

    /** A planted fault: syncs succeed and keep nothing. */
    private final boolean forgetsFlushes;

    VolatileDisk(long sizeBytes, long seed, boolean forgetsFlushes) {
        writes = new VolatileWrites<>(Math.toIntExact(sizeBytes / UNIT_BYTES), zeroes);
        random = new Random(seed);
        this.forgetsFlushes = forgetsFlushes;
    }

    /** What a call does to each unit that it touches. */
    private interface UnitVisitor {
        void visit(int unit, int offsetInUnit, int lengthBytes, long doneBytes);
    }

    private static void eachUnit(long offsetBytes, long fromBytes, long toBytes, UnitVisitor visitor) {
        long done = fromBytes;
        while (done < toBytes) {
            long at = offsetBytes + done;
            int inUnit = (int) (at % UNIT_BYTES);
            int piece = (int) Math.min(UNIT_BYTES - inUnit, toBytes - done);
            visitor.visit((int) (at / UNIT_BYTES), inUnit, piece, done);
            done += piece;
        }
    }

    /** Lets some time pass, now and then much, as a disk does. */
    private void takeTime() {
        long ns;
        synchronized (this) {
            ns = random.nextInt(100) < 5 ? random.nextInt(5_000_000) : random.nextInt(200_000);
        }
        LockSupport.parkNanos(ns);
    }

    int read(Buffers buffers, long offsetBytes) {
        takeTime();
        synchronized (this) {
            eachUnit(
                    offsetBytes,
                    0,
                    buffers.lengthBytes(),
                    (unit, from, length, done) -> buffers.put(done, writes.cached(unit), from, length));
        }
        return (int) buffers.lengthBytes();
    }

    /** In two parts at different times, in both of which the power may be cut. */
    int write(Buffers buffers, long offsetBytes, boolean dsync) {
        long cut;
        synchronized (this) {
            long at = offsetBytes + random.nextLong(buffers.lengthBytes() + 1);
            cut = Math.max(0, at / UNIT_BYTES * UNIT_BYTES - offsetBytes);
        }
        takeTime();
        writePart(buffers, offsetBytes, 0, cut);
        takeTime();
        writePart(buffers, offsetBytes, cut, buffers.lengthBytes());
        if (dsync && !forgetsFlushes) {
            makeStable(offsetBytes, buffers.lengthBytes());
        }
        return (int) buffers.lengthBytes();
    }

    private synchronized void writePart(Buffers buffers, long offsetBytes, long from, long to) {
        eachUnit(offsetBytes, from, to, (unit, inUnit, length, done) -> {
            byte[] version = writes.cached(unit).clone();
            buffers.get(done, version, inUnit, length);
            writes.write(unit, version);
        });
    }

    private synchronized void makeStable(long offsetBytes, long lengthBytes) {
        eachUnit(offsetBytes, 0, lengthBytes, (unit, inUnit, length, done) -> writes.makeStable(unit, 1));
    }

    int zero(long offsetBytes, long lengthBytes) {
        takeTime();
        synchronized (this) {
            eachUnit(offsetBytes, 0, lengthBytes, (unit, from, length, done) -> {
                byte[] version = zeroes; // Shared by whole units: a discard may reach over the whole disk.
                if (length < UNIT_BYTES) {
                    version = writes.cached(unit).clone();
                    Arrays.fill(version, from, from + length, (byte) 0);
                }
                writes.write(unit, version);
            });
        }
        return 0;
    }

    /** What was written before the call began is stable when it ends. */
    int sync() {
        long begunAfter;
        synchronized (this) {
            begunAfter = writes.applied();
        }
        takeTime();
        if (!forgetsFlushes) {
            synchronized (this) {
                writes.sync(begunAfter, () -> true);
            }
        }
        return 0;
    }

    /** Everything is stable: for the time before the power may be cut. */
    synchronized void settle() {
        writes.makeStable(0, writes.units());
    }

    /**
     * Writes an image of what a power cut at this moment leaves; the disk goes on as if nothing had been.
     *
     * @return how many units had writes that could be lost
     */
    int imageAfterCut(Path image) throws IOException {
        List<byte[]> survivors = new ArrayList<>();
        int unstable;
        synchronized (this) {
            unstable = writes.unstableUnits();
            for (int unit = 0; unit < writes.units(); unit++) {
                survivors.add(writes.survivor(unit, random));
            }
        }
        try (FileChannel file = FileChannel.open(image, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (int unit = 0; unit < survivors.size(); unit++) {
                if (!Arrays.equals(survivors.get(unit), zeroes)) {
                    file.write(ByteBuffer.wrap(survivors.get(unit)), (long) unit * UNIT_BYTES);
                }
            }
            long end = (long) survivors.size() * UNIT_BYTES;
            if (file.size() < end) {
                file.write(ByteBuffer.wrap(zeroes), end - UNIT_BYTES);
            }
        }
        return unstable;
    }

    /** The buffers of a call: pieces of memory that make one stretch of bytes. */
    static final class Buffers {
        private final long[] bases;
        private final long[] lengths;
        private final long lengthBytes;

        private Buffers(long[] bases, long[] lengths) {
            this.bases = bases;
            this.lengths = lengths;
            long sum = 0;
            for (long length : lengths) {
                sum += length;
            }
            lengthBytes = sum;
        }

        static Buffers of(long address, long length) {
            return new Buffers(new long[] {address}, new long[] {length});
        }

        static Buffers ofIovecs(long iovAddress, int iovCount) {
            long[] bases = new long[iovCount];
            long[] lengths = new long[iovCount];
            for (int i = 0; i < iovCount; i++) {
                bases[i] = Iovec.base(iovAddress + (long) i * Iovec.SIZE_BYTES);
                lengths[i] = Iovec.length(iovAddress + (long) i * Iovec.SIZE_BYTES);
            }
            return new Buffers(bases, lengths);
        }

        long lengthBytes() {
            return lengthBytes;
        }

        private void put(long atBytes, byte[] source, int offset, int length) {
            move(atBytes, source, offset, length, true);
        }

        private void get(long atBytes, byte[] target, int offset, int length) {
            move(atBytes, target, offset, length, false);
        }

        private void move(long atBytes, byte[] bytes, int offset, int length, boolean toMemory) {
            long skip = atBytes;
            int done = 0;
            for (int i = 0; done < length; i++) {
                if (skip >= lengths[i]) {
                    skip -= lengths[i];
                    continue;
                }
                int piece = (int) Math.min(lengths[i] - skip, length - done);
                if (toMemory) {
                    HostMemory.copyIn(bytes, offset + done, bases[i] + skip, piece);
                } else {
                    HostMemory.copyOut(bases[i] + skip, bytes, offset + done, piece);
                }
                done += piece;
                skip = 0;
            }
        }
    }
}
