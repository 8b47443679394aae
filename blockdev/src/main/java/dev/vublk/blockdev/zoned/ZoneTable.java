// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.linux.ZoneIoctl.*;

import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.linux.Errno;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * The zones of a disk: how far each is written, in which state it is, and how many are open and active. Rules only, no I/O.
 * Thread-safe; whoever changes a zone holds its lock ({@link ZonedBlockChannel}).
 *
 * <p>States and what they take (virtio 1.2 section 5.2.6): implicitly and explicitly open zones are open ones, these and
 * closed zones are active ones.
 *
 * <pre>
 *           write                     close                    write
 *   empty ---------> implicitly open --------------> closed ----------> implicitly open
 *     |  open                |  open                   |  open
 *     +----------------------+-> explicitly open <-----+        close with nothing written -> empty
 *   finish, or written to the capacity -> full;  reset -> empty
 * </pre>
 *
 * One long a zone, so that it can be read and kept at once: the bytes written, and in the lowest byte the condition.
 */
final class ZoneTable {
    /** Told of every change while the table is locked; must not wait. */
    interface Listener {
        void onChange(int zone, long word);
    }

    private static final int CONDITION_BITS = 8;

    private final long diskBytes;
    private final long zoneBytes;
    private final int writeGranularityBytes;
    private final int openMax;
    private final int activeMax;
    private final long[] capacities;
    private final boolean[] writing;
    private final AtomicLongArray words;
    private final Listener listener;

    private int openCount;
    private int activeCount;
    /** Where to look next for a zone that can be closed. */
    private int closeNext;

    /**
     * @param capacities how much of each zone can be written; 0 for a conventional zone
     * @param words the zones as they are now
     */
    ZoneTable(
            long diskBytes,
            long zoneBytes,
            int writeGranularityBytes,
            int openMax,
            int activeMax,
            long[] capacities,
            long[] words,
            Listener listener) {
        this.diskBytes = diskBytes;
        this.zoneBytes = zoneBytes;
        this.writeGranularityBytes = writeGranularityBytes;
        this.openMax = openMax;
        this.activeMax = activeMax;
        this.capacities = capacities.clone();
        this.words = new AtomicLongArray(words);
        this.listener = listener;
        writing = new boolean[words.length];
        for (long word : words) {
            count(condition(word), 1);
        }
    }

    static long word(long writtenBytes, int condition) {
        return writtenBytes << CONDITION_BITS | condition;
    }

    static long writtenBytes(long word) {
        return word >>> CONDITION_BITS;
    }

    static int condition(long word) {
        return (int) word & ((1 << CONDITION_BITS) - 1);
    }

    static boolean isOpen(int condition) {
        return condition == BLK_ZONE_COND_IMP_OPEN || condition == BLK_ZONE_COND_EXP_OPEN;
    }

    static boolean isActive(int condition) {
        return isOpen(condition) || condition == BLK_ZONE_COND_CLOSED;
    }

    int zoneCount() {
        return capacities.length;
    }

    int zoneOf(long offsetBytes) {
        return (int) (offsetBytes / zoneBytes);
    }

    long startBytes(int zone) {
        return zone * zoneBytes;
    }

    /** The last zone may be smaller than the others. */
    long lengthBytes(int zone) {
        return Math.min(zoneBytes, diskBytes - startBytes(zone));
    }

    boolean isConventional(int zone) {
        return capacities[zone] == 0;
    }

    long word(int zone) {
        return words.get(zone);
    }

    /** Where the zone's written part ends; what lies behind was never written since its last reset. */
    long writtenEndBytes(int zone) {
        return startBytes(zone) + writtenBytes(words.get(zone));
    }

    /** Whether all of a range, which is not empty, lies in the written part of a sequential zone. */
    boolean isWritten(int zone, long offsetBytes, long lengthBytes) {
        return lengthBytes > 0
                && condition(words.get(zone)) != BLK_ZONE_COND_OFFLINE
                && offsetBytes + lengthBytes <= writtenEndBytes(zone);
    }

    /**
     * Begins a write to a sequential zone, which may open it: 0, or why it must not be. After 0, {@link #endWrite} follows.
     */
    synchronized int beginWrite(int zone, long offsetBytes, long lengthBytes) {
        long word = words.get(zone);
        int condition = condition(word);
        if (condition != BLK_ZONE_COND_EMPTY && !isActive(condition)) {
            return -Errno.EINVAL; // full, read-only or offline
        }
        // Section 5.2.6: not at the write pointer, or an end that is no multiple of the granularity.
        if (offsetBytes != startBytes(zone) + writtenBytes(word) || lengthBytes % writeGranularityBytes != 0) {
            return -Errno.ESPIPE;
        }
        if (lengthBytes > capacities[zone] - writtenBytes(word)) {
            return -Errno.EINVAL;
        }
        if (!isOpen(condition)) {
            int result = makeOpen(zone, BLK_ZONE_COND_IMP_OPEN);
            if (result != 0) {
                return result;
            }
        }
        writing[zone] = true;
        return 0;
    }

    /** Ends a write: {@code lengthBytes} were written, 0 when it failed. */
    synchronized void endWrite(int zone, long lengthBytes) {
        writing[zone] = false;
        int condition = condition(words.get(zone));
        long written = writtenBytes(words.get(zone)) + lengthBytes;
        if (written == capacities[zone]) {
            set(zone, written, BLK_ZONE_COND_FULL);
        } else if (written == 0 && condition == BLK_ZONE_COND_IMP_OPEN) {
            set(zone, 0, BLK_ZONE_COND_EMPTY); // the failed write had opened it
        } else {
            set(zone, written, condition);
        }
    }

    /** Does what the operation says, or tells why not. */
    synchronized int operate(ZoneOperation operation, int zone) {
        if (isConventional(zone)) {
            return -Errno.EINVAL;
        }
        long word = words.get(zone);
        int condition = condition(word);
        if (condition == BLK_ZONE_COND_READONLY || condition == BLK_ZONE_COND_OFFLINE) {
            return -Errno.EINVAL;
        }
        return switch (operation) {
            case OPEN -> open(zone, condition);
            case CLOSE -> close(zone, writtenBytes(word), condition);
            case FINISH -> set(zone, writtenBytes(word), BLK_ZONE_COND_FULL);
            case RESET -> set(zone, 0, BLK_ZONE_COND_EMPTY);
        };
    }

    /** Whether the operation would be allowed by the zone's state, whatever the device's resources. */
    synchronized boolean permits(ZoneOperation operation, int zone) {
        int condition = condition(words.get(zone));
        boolean usable = condition == BLK_ZONE_COND_EMPTY || isActive(condition);
        return !isConventional(zone)
                && switch (operation) {
                    case OPEN -> usable;
                    case CLOSE -> isActive(condition);
                    case FINISH, RESET -> usable || condition == BLK_ZONE_COND_FULL;
                };
    }

    private int open(int zone, int condition) {
        if (condition == BLK_ZONE_COND_FULL) {
            return -Errno.EINVAL;
        }
        return condition == BLK_ZONE_COND_EXP_OPEN ? 0 : makeOpen(zone, BLK_ZONE_COND_EXP_OPEN);
    }

    private int close(int zone, long written, int condition) {
        if (!isActive(condition)) {
            return -Errno.EINVAL;
        }
        return set(zone, written, written == 0 ? BLK_ZONE_COND_EMPTY : BLK_ZONE_COND_CLOSED);
    }

    /** Where both limits are in the way, the active one is told (section 5.2.6). */
    private int makeOpen(int zone, int target) {
        long word = words.get(zone);
        int condition = condition(word);
        if (!isActive(condition) && activeMax > 0 && activeCount >= activeMax) {
            return -Errno.EOVERFLOW;
        }
        if (!isOpen(condition) && openMax > 0 && openCount >= openMax && !closeOne()) {
            return -Errno.ETOOMANYREFS;
        }
        return set(zone, writtenBytes(word), target);
    }

    /** Closes an implicitly open zone that is not being written, if there is one. */
    private boolean closeOne() {
        for (int i = 0; i < capacities.length; i++) {
            int zone = closeNext;
            closeNext = (closeNext + 1) % capacities.length;
            if (condition(words.get(zone)) == BLK_ZONE_COND_IMP_OPEN && !writing[zone]) {
                close(zone, writtenBytes(words.get(zone)), BLK_ZONE_COND_IMP_OPEN);
                return true;
            }
        }
        return false;
    }

    /** Takes the state that a device tells of. */
    synchronized void refresh(int zone, long word) {
        set(zone, writtenBytes(word), condition(word));
    }

    private int set(int zone, long written, int condition) {
        count(condition(words.get(zone)), -1);
        count(condition, 1);
        long word = word(written, condition);
        words.set(zone, word);
        listener.onChange(zone, word);
        return 0;
    }

    private void count(int condition, int difference) {
        if (isOpen(condition)) {
            openCount += difference;
        }
        if (isActive(condition)) {
            activeCount += difference;
        }
    }

    /** Describes one zone, as the kernel would. */
    void describe(int zone, long report, int index) {
        long word = words.get(zone);
        int condition = condition(word);
        boolean conventional = isConventional(zone);
        // Full zones have no write pointer; the kernel shows their end.
        long pointerBytes = conventional || condition == BLK_ZONE_COND_FULL ? lengthBytes(zone) : writtenBytes(word);
        putZone(
                report,
                index,
                startBytes(zone),
                lengthBytes(zone),
                conventional ? lengthBytes(zone) : capacities[zone],
                startBytes(zone) + pointerBytes,
                conventional ? BLK_ZONE_TYPE_CONVENTIONAL : BLK_ZONE_TYPE_SEQWRITE_REQ,
                condition);
    }
}
