// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import java.lang.foreign.Arena;

/**
 * Carries out what only zoned disks know (virtio 1.2 section 5.2.6): reports, operations on zones, appends. Runs on the
 * queue's IOThread, in the coroutine of the request.
 */
final class ZoneRequestHandler {
    private static final int EINVAL = 22;
    private static final int ESPIPE = 29;
    private static final int EOVERFLOW = 75;
    private static final int EOPNOTSUPP = 95;
    private static final int ETOOMANYREFS = 109;

    /** Zones asked for at once: a report of a page. Arbitrary. */
    private static final int ZONES_AT_ONCE = 63;

    /**
     * The kernel's report ({@code linux/blkzoned.h}), whose numbers for types and states are virtio's, too.
     *
     * <pre>
     *  struct blk_zone_report  0 sector u64, 8 nr_zones u32, 12 flags u32, 16 zones[]
     *  struct blk_zone         0 start u64, 8 len u64, 16 wp u64, 24 type u8, 25 cond u8, 26 non_seq u8, 27 reset u8,
     *                          28 resv[4], 32 capacity u64, 40 reserved[24]
     * </pre>
     */
    private static final int REPORT_ZONES = 16;

    private static final int ZONE_BYTES = 64;
    private static final int ZONE_START = 0;
    private static final int ZONE_LENGTH = 8;
    private static final int ZONE_WP = 16;
    private static final int ZONE_TYPE = 24;
    private static final int ZONE_CONDITION = 25;
    private static final int ZONE_CAPACITY = 32;

    private final ZonedChannel zones;
    private final WriteCache writeCache;

    ZoneRequestHandler(ZonedChannel zones, WriteCache writeCache) {
        this.zones = zones;
        this.writeCache = writeCache;
    }

    int handle(VirtioBlkRequest request) {
        return switch (request.type) {
            case VIRTIO_BLK_T_ZONE_APPEND -> append(request);
            case VIRTIO_BLK_T_ZONE_REPORT -> report(request);
            case VIRTIO_BLK_T_ZONE_OPEN -> status(zones.operate(ZoneOperation.OPEN, request.offsetBytes));
            case VIRTIO_BLK_T_ZONE_CLOSE -> status(zones.operate(ZoneOperation.CLOSE, request.offsetBytes));
            case VIRTIO_BLK_T_ZONE_FINISH -> status(zones.operate(ZoneOperation.FINISH, request.offsetBytes));
            case VIRTIO_BLK_T_ZONE_RESET -> status(zones.operate(ZoneOperation.RESET, request.offsetBytes));
            case VIRTIO_BLK_T_ZONE_RESET_ALL -> status(zones.resetAll());
            default -> throw new IllegalStateException("request type " + request.type + " passed the parser");
        };
    }

    /** The errnos of {@link ZonedChannel}, which on a zoned disk reads and writes may have too. */
    static int status(int result) {
        return switch (-result) {
            case 0 -> VIRTIO_BLK_S_OK;
            case EINVAL -> VIRTIO_BLK_S_ZONE_INVALID_CMD;
            case ESPIPE -> VIRTIO_BLK_S_ZONE_UNALIGNED_WP;
            case ETOOMANYREFS -> VIRTIO_BLK_S_ZONE_OPEN_RESOURCE;
            case EOVERFLOW -> VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE;
            case EOPNOTSUPP -> VIRTIO_BLK_S_UNSUPP;
            default -> VIRTIO_BLK_S_IOERR;
        };
    }

    int writeAgain(VirtioBlkRequest request) {
        return status(zones.writeAgain(
                request.offsetBytes,
                request.dataIovAddress(),
                request.dataCount,
                request.dataBytes,
                writeCache.isWriteThrough()));
    }

    /**
     * The sector goes to the start of the writable part, the status to its end: so both the layout of the specification and
     * that of Linux' driver, which has padding between the two, find them.
     */
    private int append(VirtioBlkRequest request) {
        long offsetBytes = zones.append(
                request.offsetBytes,
                request.dataIovAddress(),
                request.dataCount,
                request.dataBytes,
                writeCache.isWriteThrough());
        if (offsetBytes < 0) {
            return status((int) offsetBytes);
        }
        GuestBytes answer = new GuestBytes(request.chain.buffers(), request.chain.readableCount());
        answer.putLong(offsetBytes / SECTOR_BYTES);
        request.answerBytes = APPEND_SECTOR_BYTES;
        return VIRTIO_BLK_S_OK;
    }

    /** Describes as many zones as there is room for, some at a time, and in the end tells how many. */
    private int report(VirtioBlkRequest request) {
        IoVectors buffers = request.chain.buffers();
        GuestBytes descriptors = new GuestBytes(buffers, request.dataFirst);
        descriptors.putZeroes(ZONE_REPORT_BYTES);
        long room = (request.dataBytes - ZONE_REPORT_BYTES) / ZONE_DESCRIPTOR_BYTES;
        long count = 0;
        // Memory that goes with the request: reports are rare, and ordinary disks need none.
        try (Arena arena = Arena.ofConfined()) {
            long report = arena.allocate(REPORT_ZONES + (long) ZONES_AT_ONCE * ZONE_BYTES, Long.BYTES)
                    .address();
            long offsetBytes = request.offsetBytes;
            while (count < room) {
                int found = zones.report(offsetBytes, report, (int) Math.min(ZONES_AT_ONCE, room - count));
                if (found <= 0) {
                    if (found < 0) {
                        return status(found);
                    }
                    break;
                }
                for (int i = 0; i < found; i++) {
                    describe(report + REPORT_ZONES + (long) i * ZONE_BYTES, descriptors);
                }
                count += found;
                long last = report + REPORT_ZONES + (found - 1L) * ZONE_BYTES;
                offsetBytes =
                        (HostMemory.getLong(last + ZONE_START) + HostMemory.getLong(last + ZONE_LENGTH)) * SECTOR_BYTES;
            }
        }
        new GuestBytes(buffers, request.dataFirst).putLong(count);
        request.answerBytes = (int) (ZONE_REPORT_BYTES + count * ZONE_DESCRIPTOR_BYTES);
        return VIRTIO_BLK_S_OK;
    }

    private static void describe(long zone, GuestBytes descriptor) {
        descriptor.putLong(HostMemory.getLong(zone + ZONE_CAPACITY));
        descriptor.putLong(HostMemory.getLong(zone + ZONE_START));
        descriptor.putLong(HostMemory.getLong(zone + ZONE_WP));
        descriptor.put(HostMemory.getByte(zone + ZONE_TYPE));
        descriptor.put(HostMemory.getByte(zone + ZONE_CONDITION));
        descriptor.putZeroes(ZONE_DESCRIPTOR_BYTES - 3 * Long.BYTES - 2);
    }
}
