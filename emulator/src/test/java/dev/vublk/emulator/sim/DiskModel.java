// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import java.util.ArrayList;
import java.util.List;

/**
 * What each sector may hold, as the requests of the guest allow it: a register that many write at once. Plain data, no
 * idea of rings, coroutines or caches.
 *
 * <p>A sector has several possible versions while writes to it are in flight, or after one failed. A completed write rules
 * out what had ended before it began: for reads at once, for what survives a power cut when a flush that began after it
 * has succeeded. Times are steps of the world.
 */
final class DiskModel {
    private static final long IN_FLIGHT = Long.MAX_VALUE;

    private final SimulatedWorld world;
    private final int sectors;

    /** What a read may find. */
    private final List<List<Version>> current = new ArrayList<>();
    /** What may be there after a power cut. */
    private final List<List<Version>> durable = new ArrayList<>();

    private final List<Read> reads = new ArrayList<>();

    DiskModel(SimulatedWorld world, int sectors) {
        this.world = world;
        this.sectors = sectors;
        for (int i = 0; i < sectors; i++) {
            Version initial = new Version(SectorData.ZEROES, -1, true);
            initial.endedAt = -1;
            current.add(new ArrayList<>(List.of(initial)));
            durable.add(new ArrayList<>(List.of(initial)));
        }
    }

    /** A write, as one content of all its sectors. */
    static final class Version {
        private final long stamp;
        private final long begunAt;
        /** Whether success means that it took effect everywhere; a discard promises nothing. */
        private boolean certain;

        private long endedAt = IN_FLIGHT;
        private boolean succeeded;
        private final List<int[]> ranges = new ArrayList<>();

        private Version(long stamp, long begunAt, boolean certain) {
            this.stamp = stamp;
            this.begunAt = begunAt;
            this.certain = certain;
        }

        @Override
        public String toString() {
            return "#" + stamp + "[" + begunAt + ".." + (endedAt == IN_FLIGHT ? "" : endedAt)
                    + (endedAt == IN_FLIGHT || succeeded ? "" : " failed") + "]";
        }
    }

    /** A read in flight: what it may find in each of its sectors. */
    static final class Read {
        private final int first;
        private final List<List<Version>> possible = new ArrayList<>();
        /** Whether no write was in flight at any time of the read. */
        private final boolean[] isQuiet;

        private Read(int first, int count) {
            this.first = first;
            isQuiet = new boolean[count];
        }
    }

    /** A write with these ranges (first sector, count) begins. */
    Version beginWrite(long stamp, boolean certain, List<int[]> ranges) {
        Version version = new Version(stamp, world.step(), certain);
        version.ranges.addAll(ranges);
        for (int[] range : ranges) {
            for (int sector = range[0]; sector < range[0] + range[1]; sector++) {
                current.get(sector).add(version);
                durable.get(sector).add(version);
                for (Read read : reads) {
                    int index = sector - read.first;
                    if (index >= 0 && index < read.isQuiet.length) {
                        read.possible.get(index).add(version);
                        read.isQuiet[index] = false;
                    }
                }
            }
        }
        return version;
    }

    /**
     * A write ended.
     *
     * @param stable whether its data was to be stable by then
     */
    void endWrite(Version version, boolean success, boolean stable) {
        version.endedAt = world.step();
        version.succeeded = success;
        if (!success || !version.certain) {
            return;
        }
        for (int[] range : version.ranges) {
            for (int sector = range[0]; sector < range[0] + range[1]; sector++) {
                forgetEndedBefore(current.get(sector), version.begunAt);
                if (stable) {
                    forgetEndedBefore(durable.get(sector), version.begunAt);
                }
            }
        }
    }

    private static void forgetEndedBefore(List<Version> versions, long step) {
        versions.removeIf(version -> version.endedAt < step);
    }

    Read beginRead(int first, int count) {
        Read read = new Read(first, count);
        for (int i = 0; i < count; i++) {
            List<Version> versions = current.get(first + i);
            read.possible.add(new ArrayList<>(versions));
            read.isQuiet[i] = versions.stream().noneMatch(version -> version.endedAt == IN_FLIGHT);
        }
        reads.add(read);
        return read;
    }

    /** A read ended in success with these stamps. */
    void endRead(Read read, long[] stamps) {
        reads.remove(read);
        for (int i = 0; i < stamps.length; i++) {
            long stamp = stamps[i];
            int sector = read.first + i;
            if (read.possible.get(i).stream().noneMatch(version -> version.stamp == stamp)) {
                throw world.fail(
                        "sector " + sector + " was read as " + name(stamp) + ", possible were " + read.possible.get(i));
            }
            if (read.isQuiet[i]) {
                // Nobody wrote meanwhile: what was read is what is there.
                current.get(sector).removeIf(version -> version.stamp != stamp);
            }
        }
    }

    void abandonRead(Read read) {
        reads.remove(read);
    }

    /** A flush that began at {@code begunAt} succeeded: what was complete then is stable. */
    void endFlush(long begunAt) {
        for (List<Version> versions : durable) {
            long newest = -1;
            for (Version version : versions) {
                if (version.succeeded && version.certain && version.endedAt < begunAt) {
                    newest = Math.max(newest, version.begunAt);
                }
            }
            forgetEndedBefore(versions, newest);
        }
    }

    /** The disk takes {@code stamp} as the content of a sector: only what somebody has asked for, and not too late. */
    void checkWritten(int sector, long stamp) {
        if (current.get(sector).stream().noneMatch(version -> version.stamp == stamp)) {
            throw world.fail("sector " + sector + " is overwritten with " + name(stamp) + ", possible are "
                    + current.get(sector));
        }
    }

    /** Nothing is in flight, and this is what the disk holds. */
    void checkContent(long[] stamps) {
        for (int sector = 0; sector < sectors; sector++) {
            checkWritten(sector, stamps[sector]);
        }
    }

    /** The power was cut, and this is what survived. */
    void onPowerCut(long[] stamps) {
        for (int sector = 0; sector < sectors; sector++) {
            long stamp = stamps[sector];
            List<Version> versions = durable.get(sector);
            if (versions.stream().noneMatch(version -> version.stamp == stamp)) {
                throw world.fail(
                        "after a power cut sector " + sector + " holds " + name(stamp) + ", possible were " + versions);
            }
            versions.removeIf(version -> version.stamp != stamp);
            current.set(sector, new ArrayList<>(versions));
        }
    }

    /**
     * A process whose syncs failed is followed by one that does not know of it: the kernel has told its error once, and a
     * flush of the new process promises nothing for what the old one wrote.
     */
    void onSyncErrorForgotten() {
        for (List<Version> versions : durable) {
            versions.forEach(version -> version.certain = false);
        }
    }

    private static String name(long stamp) {
        return stamp == SectorData.TORN ? "something torn" : "#" + stamp;
    }
}
