// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static dev.vublk.emulator.GuestRequest.*;

import dev.vublk.emulator.GuestRequest;

/**
 * A request as it is made of every back end alike.
 *
 * @param bytes how much is read, or written; of a GET_ID the room for it
 * @param sectors of a DISCARD or WRITE_ZEROES
 * @param data what is written
 */
@SuppressWarnings("ArrayRecordComponent") // Nobody compares two of them.
record PlannedRequest(
        int queue,
        int type,
        long sector,
        int bytes,
        int sectors,
        int flags,
        byte[] data,
        int[] readableCuts,
        int[] writableCuts,
        boolean indirect,
        int skewBytes) {

    static final int SECTOR_BYTES = 512;

    GuestRequest make() {
        GuestRequest request = switch (type) {
            case IN, GET_ID -> of(type, sector).room(bytes);
            case OUT -> write(sector, data);
            case DISCARD, WRITE_ZEROES -> ranges(type, sector, sectors, flags);
            default -> of(type, sector);
        };
        if (readableCuts.length > 0) {
            request.cutReadable(readableCuts);
        }
        if (writableCuts.length > 0) {
            request.cutWritable(writableCuts);
        }
        if (indirect) {
            request.indirect();
        }
        return request.skewed(skewBytes);
    }

    /** The sectors that it names, whether they exist or not. */
    private long end() {
        long count = type == IN || type == OUT ? (bytes + SECTOR_BYTES - 1L) / SECTOR_BYTES : sectors;
        return sector + count;
    }

    /** Whether the two must not be in flight together, if their results are to be certain. */
    boolean disturbs(PlannedRequest other) {
        return (changes() || other.changes()) && sector < other.end() && other.sector < end();
    }

    private boolean changes() {
        return type == OUT || type == DISCARD || type == WRITE_ZEROES;
    }

    @Override
    public String toString() {
        return "type " + type + ", sector " + sector + ", " + bytes + " bytes, " + sectors + " sectors, flags " + flags
                + " on queue " + queue;
    }
}
