// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.util.ArrayList;
import java.util.List;

/**
 * What each sector of a disk may hold: a stamp that fills it. Remembers what was promised: acknowledged, and flushed. Writers of
 * one sector take turns. Thread-safe.
 */
final class SectorModel {
    static final int SECTOR_BYTES = 512;

    private final List<List<Content>> sectors = new ArrayList<>();
    private final List<long[]> claims = new ArrayList<>();
    private long clock;

    /** One content since the last flush; the first one of a sector is what the last flush made stable. */
    private static final class Content {
        final long stamp;
        long acknowledgedAt;

        Content(long stamp, long acknowledgedAt) {
            this.stamp = stamp;
            this.acknowledgedAt = acknowledgedAt;
        }
    }

    SectorModel(long[] stamps) {
        for (long stamp : stamps) {
            sectors.add(new ArrayList<>(List.of(new Content(stamp, 1))));
        }
        clock = 2;
    }

    synchronized int sectorCount() {
        return sectors.size();
    }

    /** The disk is larger now, stably; the new sectors are zero. */
    synchronized void grow(int newSectorCount) {
        while (sectors.size() < newSectorCount) {
            sectors.add(new ArrayList<>(List.of(new Content(0, 1))));
        }
    }

    /** Takes sectors for a request; false when another request has some of them. */
    synchronized boolean claim(int first, int count) {
        for (long[] claim : claims) {
            if (first < claim[1] && claim[0] < first + count) {
                return false;
            }
        }
        claims.add(new long[] {first, first + count});
        return true;
    }

    synchronized void unclaim(int first) {
        claims.removeIf(claim -> claim[0] == first);
    }

    /** A write of claimed sectors begins. */
    synchronized void begin(int first, int count, long stamp) {
        for (int sector = first; sector < first + count; sector++) {
            sectors.get(sector).add(new Content(stamp, 0));
        }
    }

    /** It has been acknowledged. One that failed may have happened or not. */
    synchronized void end(int first, int count, boolean success) {
        long now = clock++;
        for (int sector = first; sector < first + count; sector++) {
            sectors.get(sector).getLast().acknowledgedAt = success ? now : 0;
        }
    }

    /** A flush begins. */
    synchronized long flushBegins() {
        return clock++;
    }

    /** It has been acknowledged. */
    synchronized void flushed(long begunAt) {
        for (List<Content> contents : sectors) {
            for (int i = contents.size() - 1; i > 0; i--) {
                long at = contents.get(i).acknowledgedAt;
                if (at != 0 && at < begunAt) {
                    contents.subList(0, i).clear();
                    break;
                }
            }
        }
    }

    /** What a read of a claimed sector must find. */
    synchronized boolean reads(int sector, long stamp) {
        return afterKill(sector).contains(stamp);
    }

    /** The contents that a sector may have when the process is killed: the last acknowledged, or a later one. */
    synchronized List<Long> afterKill(int sector) {
        List<Content> contents = sectors.get(sector);
        int last = contents.size() - 1;
        while (last > 0 && contents.get(last).acknowledgedAt == 0) {
            last--;
        }
        return contents.subList(last, contents.size()).stream()
                .map(content -> content.stamp)
                .toList();
    }

    /** The contents that a sector may have after a power cut: what was flushed, or a later one. */
    synchronized List<Long> afterCut(int sector) {
        return sectors.get(sector).stream().map(content -> content.stamp).toList();
    }

    /** A copy to compare with later. */
    synchronized List<List<Long>> promises(boolean cut) {
        List<List<Long>> promises = new ArrayList<>(sectors.size());
        for (int sector = 0; sector < sectors.size(); sector++) {
            promises.add(cut ? afterCut(sector) : afterKill(sector));
        }
        return promises;
    }
}
