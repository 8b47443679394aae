// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.emulator.powercut.VolatileWrites;
import dev.vublk.vhostuser.memory.HostMemory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A file on a disk with a volatile write cache, as a kernel shows it: system calls take time, end in any order, fail, are
 * interrupted, and move less than asked for. What was written is lost in a power cut in any combination unless it was
 * synced; a failed sync forgets what it did not write, as Linux does.
 */
final class SimulatedDisk {
    /** How the calls go wrong, in per mille of the calls. */
    record Faults(int errors, int syncErrors, int interruptions, int shortTransfers) {
        static final Faults NONE = new Faults(0, 0, 0, 0);
    }

    /** A kernel's abilities: without one of them the call says {@code EOPNOTSUPP}. */
    record Abilities(boolean dsync, boolean punchHole, boolean zeroRange) {}

    private final SimulatedWorld world;
    private final DiskModel model;
    private final Abilities abilities;
    private final int transferUnitSectors;
    private Faults faults;

    /** What each sector holds, and what a power cut can leave of it. */
    private final VolatileWrites<Long> writes;

    private final List<Operation> inFlight = new ArrayList<>();
    private final byte[] sectorBytes = new byte[SectorData.BYTES];
    private long errorCount;
    private long syncErrorCount;

    /** @param transferUnitSectors short transfers are whole multiples of that */
    SimulatedDisk(
            SimulatedWorld world,
            DiskModel model,
            int sectors,
            Abilities abilities,
            Faults faults,
            int transferUnitSectors) {
        this.world = world;
        this.model = model;
        this.abilities = abilities;
        this.faults = faults;
        this.transferUnitSectors = transferUnitSectors;
        writes = new VolatileWrites<>(sectors, SectorData.ZEROES);
    }

    /** Errors that calls returned so far, but for those of syncs. */
    long errorCount() {
        return errorCount;
    }

    long syncErrorCount() {
        return syncErrorCount;
    }

    void faults(Faults newFaults) {
        faults = newFaults;
    }

    int inFlight() {
        return inFlight.size();
    }

    /** What reads find now. */
    long[] content() {
        return IntStream.range(0, writes.units()).mapToLong(writes::cached).toArray();
    }

    enum Call {
        READ,
        WRITE,
        SYNC,
        ZERO
    }

    /** One system call under way. */
    final class Operation {
        private final Call call;
        private final long offsetBytes;
        private final long lengthBytes;
        private final long[] bases;
        private final long[] lengths;
        private final boolean dsync;
        private final Runnable whenDone;
        private final long begunAfter = writes.applied();
        private int result;
        private boolean isDone;
        /** The process is gone: nothing more is moved. */
        private boolean isCut;

        private Operation(
                Call call, long offset, long length, long[] bases, long[] lengths, boolean dsync, Runnable whenDone) {
            this.call = call;
            offsetBytes = offset;
            lengthBytes = length;
            this.bases = bases;
            this.lengths = lengths;
            this.dsync = dsync;
            this.whenDone = whenDone;
        }

        int result() {
            return result;
        }

        @Override
        public String toString() {
            return call + (dsync ? " dsync" : "") + " " + lengthBytes / SectorData.BYTES + " at "
                    + offsetBytes / SectorData.BYTES;
        }

        /** The address of the data of sector {@code index} of the call; copied out when it lies in pieces. */
        private void move(int index, boolean toMemory) {
            long skip = (long) index * SectorData.BYTES;
            int done = 0;
            for (int i = 0; i < bases.length && done < SectorData.BYTES; i++) {
                if (skip >= lengths[i]) {
                    skip -= lengths[i];
                    continue;
                }
                int piece = (int) Math.min(lengths[i] - skip, SectorData.BYTES - done);
                if (toMemory) {
                    HostMemory.copyIn(sectorBytes, done, bases[i] + skip, piece);
                } else {
                    HostMemory.copyOut(bases[i] + skip, sectorBytes, done, piece);
                }
                done += piece;
                skip = 0;
            }
        }
    }

    Operation submit(Call call, long offset, long[] bases, long[] lengths, boolean dsync, Runnable whenDone) {
        long length = Arrays.stream(lengths).sum();
        if (offset % SectorData.BYTES != 0 || length % SectorData.BYTES != 0) {
            throw world.fail(call + " of " + length + " bytes at " + offset);
        }
        if (offset + length > (long) writes.units() * SectorData.BYTES) {
            throw world.fail(call + " beyond the end: " + length + " bytes at " + offset);
        }
        Operation operation = new Operation(call, offset, length, bases, lengths, dsync, whenDone);
        if (world.isTracing()) {
            world.trace("disk: " + operation);
        }
        inFlight.add(operation);
        schedule(operation);
        return operation;
    }

    Operation submitZero(int mode, long offset, long length, Runnable whenDone) {
        Operation operation = new Operation(
                Call.ZERO,
                offset,
                length,
                new long[0],
                new long[0],
                (mode & PosixFile.FALLOC_FL_PUNCH_HOLE) != 0,
                whenDone);
        inFlight.add(operation);
        schedule(operation);
        return operation;
    }

    /** Decides at once how the call will go: what is moved when, and what it says in the end. */
    private void schedule(Operation operation) {
        int refusal = refusal(operation);
        if (refusal != 0) {
            end(operation, refusal, duration());
            return;
        }
        int sectors = (int) (operation.lengthBytes / SectorData.BYTES);
        int chance = world.random.nextInt(1000);
        if (chance < faults.interruptions) {
            end(operation, world.chance(70) ? -Errno.EINTR : -Errno.EAGAIN, duration());
        } else if (operation.call == Call.SYNC) {
            end(operation, chance < faults.interruptions + faults.syncErrors ? -Errno.EIO : 0, duration());
        } else if (chance < faults.interruptions + faults.errors) {
            // Part of it may have been done all the same.
            move(
                    operation,
                    world.random.nextInt(sectors + 1),
                    world.chance(80) || operation.call != Call.WRITE ? -Errno.EIO : -Errno.ENOSPC);
        } else if (chance < faults.interruptions + faults.errors + faults.shortTransfers
                && sectors > transferUnitSectors
                && operation.call != Call.ZERO) {
            int moved = transferUnitSectors * world.between(1, (sectors - 1) / transferUnitSectors);
            move(operation, moved, moved * SectorData.BYTES);
        } else {
            move(operation, sectors, operation.call == Call.ZERO ? 0 : (int) operation.lengthBytes);
        }
    }

    private int refusal(Operation operation) {
        boolean able = switch (operation.call) {
            case WRITE -> abilities.dsync || !operation.dsync;
            case ZERO -> operation.dsync ? abilities.punchHole : abilities.zeroRange;
            default -> true;
        };
        return able ? 0 : -Errno.EOPNOTSUPP;
    }

    private long duration() {
        return world.chance(5) ? world.between(50_000, 2_000_000) : world.between(500, 60_000);
    }

    /** Moves the first {@code sectors} in one or two pieces at different times, then ends. */
    private void move(Operation operation, int sectors, int result) {
        int cut = world.random.nextInt(sectors + 1);
        long first = duration();
        long second = world.chance(50) ? first : duration();
        world.after(first, () -> transfer(operation, 0, cut));
        world.after(second, () -> transfer(operation, cut, sectors));
        end(operation, result, Math.max(first, second) + (world.chance(50) ? 0 : duration()));
    }

    private void end(Operation operation, int result, long delayNs) {
        world.after(delayNs, () -> {
            if (operation.isCut) {
                return;
            }
            if (result == -Errno.EIO || result == -Errno.ENOSPC) {
                countError(operation);
            }
            if (operation.call == Call.SYNC && (result == 0 || result == -Errno.EIO)) {
                sync(operation, result == 0);
            } else if (operation.call == Call.WRITE && operation.dsync && result >= 0) {
                makeStable(operation, result / SectorData.BYTES);
            }
            finish(operation, result);
        });
    }

    private void countError(Operation operation) {
        if (operation.call == Call.SYNC || operation.dsync) {
            syncErrorCount++;
        }
        errorCount++;
    }

    private void finish(Operation operation, int result) {
        if (operation.isDone) {
            return;
        }
        if (world.isTracing()) {
            world.trace("disk: " + operation + " = " + result);
        }
        operation.isDone = true;
        operation.result = result;
        inFlight.remove(operation);
        operation.whenDone.run();
    }

    private void transfer(Operation operation, int from, int to) {
        if (operation.isCut) {
            return;
        }
        int first = (int) (operation.offsetBytes / SectorData.BYTES);
        for (int i = from; i < to; i++) {
            int sector = first + i;
            switch (operation.call) {
                case READ -> {
                    SectorData.put(sectorBytes, 0, writes.cached(sector), sector);
                    operation.move(i, true);
                }
                case WRITE -> {
                    operation.move(i, false);
                    apply(sector, SectorData.stampOf(sectorBytes, 0, sector));
                }
                case ZERO -> apply(sector, SectorData.ZEROES);
                default -> throw new AssertionError(operation.call);
            }
        }
    }

    private void apply(int sector, long stamp) {
        model.checkWritten(sector, stamp);
        writes.write(sector, stamp);
    }

    /** Everything applied before the sync began is stable, when it succeeds; otherwise any part of that is, or is lost. */
    private void sync(Operation operation, boolean success) {
        writes.sync(operation.begunAfter, () -> success || world.chance(50));
    }

    private void makeStable(Operation operation, int sectors) {
        writes.makeStable((int) (operation.offsetBytes / SectorData.BYTES), sectors);
    }

    /** The process that made the calls is killed: those under way stop somewhere, and nothing more comes of them. */
    void cutOff() {
        for (Operation operation : List.copyOf(inFlight)) {
            if (operation.call == Call.WRITE && world.chance(50)) {
                transfer(operation, 0, world.random.nextInt((int) (operation.lengthBytes / SectorData.BYTES) + 1));
            }
            operation.isCut = true;
            finish(operation, -Errno.EIO);
        }
    }

    /** The power is cut: of what was not synced, each sector keeps any. */
    void cutPower() {
        writes.cutPower(world.random);
    }

    static long[] bases(long iovAddress, int iovCount) {
        long[] bases = new long[iovCount];
        Arrays.setAll(bases, i -> Iovec.base(iovAddress + (long) i * Iovec.SIZE_BYTES));
        return bases;
    }

    static long[] lengths(long iovAddress, int iovCount) {
        long[] lengths = new long[iovCount];
        Arrays.setAll(lengths, i -> Iovec.length(iovAddress + (long) i * Iovec.SIZE_BYTES));
        return lengths;
    }
}
