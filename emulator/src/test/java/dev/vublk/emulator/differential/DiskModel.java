// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static dev.vublk.emulator.GuestRequest.*;

import java.util.Arrays;

/** What a disk must do (virtio 1.2 section 5.2.6), in memory. A discarded sector reads as zeroes, as holes of a file do. */
final class DiskModel {
    private final byte[] content;

    DiskModel(byte[] content) {
        this.content = content.clone();
    }

    byte[] content() {
        return content.clone();
    }

    /** The status that is due, without carrying anything out. */
    int status(PlannedRequest request) {
        return switch (request.type()) {
            case IN, OUT -> {
                boolean whole = request.bytes() % PlannedRequest.SECTOR_BYTES == 0;
                yield whole && isOnDisk(request.sector(), request.bytes()) ? OK : IOERR;
            }
            case DISCARD, WRITE_ZEROES ->
                isOnDisk(request.sector(), (long) request.sectors() * PlannedRequest.SECTOR_BYTES) ? OK : IOERR;
            case FLUSH, GET_ID -> OK;
            default -> UNSUPP;
        };
    }

    private boolean isOnDisk(long sector, long bytes) {
        long capacity = content.length / PlannedRequest.SECTOR_BYTES;
        long sectors = bytes / PlannedRequest.SECTOR_BYTES;
        return sector >= 0 && sector <= capacity && sectors <= capacity - sector;
    }

    void apply(PlannedRequest request) {
        if (status(request) != OK) {
            return;
        }
        int at = (int) request.sector() * PlannedRequest.SECTOR_BYTES;
        if (request.type() == OUT) {
            System.arraycopy(request.data(), 0, content, at, request.bytes());
        } else if (request.type() == DISCARD || request.type() == WRITE_ZEROES) {
            Arrays.fill(content, at, at + request.sectors() * PlannedRequest.SECTOR_BYTES, (byte) 0);
        }
    }

    /** What a successful read finds. */
    byte[] read(PlannedRequest request) {
        int at = (int) request.sector() * PlannedRequest.SECTOR_BYTES;
        return Arrays.copyOfRange(content, at, at + request.bytes());
    }
}
