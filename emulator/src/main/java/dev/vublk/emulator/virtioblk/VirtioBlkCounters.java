// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

/** What a queue has done. Written by its IOThread alone; others may read values a little old. */
public final class VirtioBlkCounters {
    private long reads;
    private long readBytes;
    private long writes;
    private long writtenBytes;
    private long flushes;
    private long others;
    private long errors;

    void count(VirtioBlkRequest request, int status) {
        if (status != VIRTIO_BLK_S_OK) {
            errors++;
            return;
        }
        switch (request.type) {
            case VIRTIO_BLK_T_IN -> {
                reads++;
                readBytes += request.dataBytes;
            }
            case VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_ZONE_APPEND -> {
                writes++;
                writtenBytes += request.dataBytes;
            }
            case VIRTIO_BLK_T_FLUSH -> flushes++;
            default -> others++;
        }
    }

    /** One line for the log. */
    @Override
    public String toString() {
        return reads + " reads of " + readBytes + " bytes, " + writes + " writes of " + writtenBytes + " bytes, "
                + flushes + " flushes, " + others + " other requests, " + errors + " errors";
    }
}
