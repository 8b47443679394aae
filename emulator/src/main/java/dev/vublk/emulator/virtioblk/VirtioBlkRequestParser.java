// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.IoVectors;

/**
 * Turns an untrusted chain into a checked request, without I/O. Runs on the queue's IOThread; no state.
 *
 * <p>How the driver cut the request into buffers means nothing (virtio 1.2 section 2.7.4.1): the header is the first 16
 * bytes of the readable part, the status the last byte of the writable part, and the data what remains. What lies in guest
 * memory is read once and then used from the slot.
 */
final class VirtioBlkRequestParser {
    /** The chain has no room for a status: nothing can be answered, the driver is broken. */
    static final int NO_STATUS = -1;

    private final RequestRules rules;
    private final boolean readOnly;
    private final DiskCapacity capacity;

    VirtioBlkRequestParser(RequestRules rules) {
        this.rules = rules;
        readOnly = rules.readOnly();
        capacity = rules.capacity();
    }

    /**
     * Fills {@code request} from its chain.
     *
     * @return {@code VIRTIO_BLK_S_OK} when the request may be carried out, another status to answer with at once, or
     *     {@link #NO_STATUS}
     */
    int parse(VirtioBlkRequest request) {
        DescriptorChain chain = request.chain;
        if (chain.writableBytes() == 0) {
            return NO_STATUS;
        }
        cutStatus(request);
        if (chain.readableBytes() < HEADER_BYTES) {
            request.type = VIRTIO_BLK_T_FLUSH; // Whatever it was, no data is counted as written.
            request.dataBytes = 0;
            request.answerBytes = 0;
            return VIRTIO_BLK_S_IOERR;
        }
        int headerEnd = readHeader(request);
        return switch (request.type) {
            case VIRTIO_BLK_T_IN -> parseIn(request);
            case VIRTIO_BLK_T_OUT -> parseOut(request, headerEnd);
            case VIRTIO_BLK_T_FLUSH -> VIRTIO_BLK_S_OK;
            case VIRTIO_BLK_T_GET_ID -> parseGetId(request);
            default -> parseRare(request, headerEnd);
        };
    }

    private int parseRare(VirtioBlkRequest request, int headerEnd) {
        return switch (request.type) {
            case VIRTIO_BLK_T_DISCARD -> parseRanges(request, headerEnd, rules.maxDiscardSectors(), SECTOR_BYTES);
            case VIRTIO_BLK_T_WRITE_ZEROES ->
                parseRanges(request, headerEnd, rules.maxWriteZeroesSectors(), SECTOR_BYTES);
            case VIRTIO_BLK_T_SECURE_ERASE ->
                parseRanges(request, headerEnd, rules.maxSecureEraseSectors(), rules.secureEraseAlignmentBytes());
            case VIRTIO_BLK_T_GET_LIFETIME -> parseGetLifetime(request);
            case VIRTIO_BLK_T_ZONE_APPEND -> parseZoneAppend(request, headerEnd);
            case VIRTIO_BLK_T_ZONE_REPORT -> parseZoneReport(request);
            case VIRTIO_BLK_T_ZONE_OPEN, VIRTIO_BLK_T_ZONE_CLOSE, VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_RESET ->
                parseZoneOperation(request);
            case VIRTIO_BLK_T_ZONE_RESET_ALL -> zonesMayBeChanged();
            default -> VIRTIO_BLK_S_UNSUPP;
        };
    }

    private int parseGetLifetime(VirtioBlkRequest request) {
        if (!rules.lifetime()) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        takeWritableData(request);
        // Half of it would be a wrong answer, unlike half of a serial number.
        return request.dataBytes < LIFETIME_BYTES ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
    }

    private int parseZoneAppend(VirtioBlkRequest request, int headerEnd) {
        int status = zonesMayBeChanged();
        if (status != VIRTIO_BLK_S_OK) {
            return status;
        }
        takeReadableData(request, headerEnd);
        if (request.chain.writableBytes() - 1 < APPEND_SECTOR_BYTES) {
            return VIRTIO_BLK_S_IOERR;
        }
        if (request.dataBytes > rules.maxAppendBytes()) {
            return rules.maxAppendBytes() == 0 ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_ZONE_INVALID_CMD;
        }
        return zoned(checkRange(request.offsetBytes, request.dataBytes));
    }

    private int parseZoneReport(VirtioBlkRequest request) {
        if (!rules.zoned()) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        takeWritableData(request);
        return request.dataBytes < ZONE_REPORT_BYTES || request.offsetBytes >= capacity.bytes()
                ? VIRTIO_BLK_S_ZONE_INVALID_CMD
                : VIRTIO_BLK_S_OK;
    }

    private int parseZoneOperation(VirtioBlkRequest request) {
        int status = zonesMayBeChanged();
        return status == VIRTIO_BLK_S_OK && request.offsetBytes >= capacity.bytes()
                ? VIRTIO_BLK_S_ZONE_INVALID_CMD
                : status;
    }

    /** Section 5.2.6.2: unsupported when not negotiated, an error on a read-only disk. */
    private int zonesMayBeChanged() {
        if (!rules.zoned()) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        return readOnly ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
    }

    /** "All other error conditions related to zoned block model operation" (section 5.2.6). */
    private static int zoned(int status) {
        return status == VIRTIO_BLK_S_OK ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    }

    private int parseIn(VirtioBlkRequest request) {
        takeWritableData(request);
        return checkRange(request.offsetBytes, request.dataBytes);
    }

    private int parseOut(VirtioBlkRequest request, int headerEnd) {
        takeReadableData(request, headerEnd);
        return readOnly ? VIRTIO_BLK_S_IOERR : checkRange(request.offsetBytes, request.dataBytes);
    }

    private static int parseGetId(VirtioBlkRequest request) {
        takeWritableData(request);
        return VIRTIO_BLK_S_OK;
    }

    /** The status is the last writable byte; it is cut off the buffers. */
    private static void cutStatus(VirtioBlkRequest request) {
        IoVectors buffers = request.chain.buffers();
        int last = buffers.count() - 1;
        long base = buffers.base(last);
        long length = buffers.length(last);
        request.statusAddress = base + length - 1;
        buffers.set(last, base, length - 1);
    }

    /** Reads type and sector; returns the index of the first readable buffer behind the header, with the header cut off. */
    private static int readHeader(VirtioBlkRequest request) {
        IoVectors buffers = request.chain.buffers();
        long base = buffers.base(0);
        long length = buffers.length(0);
        if (length >= HEADER_BYTES) {
            setHeader(request, HostMemory.getLong(base), HostMemory.getLong(base + 8));
            if (length == HEADER_BYTES) {
                return 1;
            }
            buffers.set(0, base + HEADER_BYTES, length - HEADER_BYTES);
            return 0;
        }
        return gatherHeader(request, buffers);
    }

    /** The header lies in several buffers: no driver of today does that, the specification allows it. */
    private static int gatherHeader(VirtioBlkRequest request, IoVectors buffers) {
        long low = 0;
        long high = 0;
        int buffer = 0;
        long used = 0;
        for (int i = 0; i < HEADER_BYTES; i++) {
            while (used == buffers.length(buffer)) {
                buffer++;
                used = 0;
            }
            long octet = HostMemory.getByte(buffers.base(buffer) + used++) & 0xffL;
            if (i < 8) {
                low |= octet << (8 * i);
            } else {
                high |= octet << (8 * (i - 8));
            }
        }
        setHeader(request, low, high);
        buffers.set(buffer, buffers.base(buffer) + used, buffers.length(buffer) - used);
        return buffer;
    }

    private static void setHeader(VirtioBlkRequest request, long typeAndPriority, long sector) {
        request.type = (int) typeAndPriority;
        // A sector whose byte offset does not fit is beyond every disk.
        request.offsetBytes =
                sector < 0 || sector > Long.MAX_VALUE / SECTOR_BYTES ? Long.MAX_VALUE : sector * SECTOR_BYTES;
        request.dataFirst = 0;
        request.dataCount = 0;
        request.dataBytes = 0;
        request.rangeCount = 0;
        request.answerBytes = 0;
    }

    private static void takeReadableData(VirtioBlkRequest request, int first) {
        request.dataFirst = first;
        request.dataCount = request.chain.readableCount() - first;
        request.dataBytes = request.chain.readableBytes() - HEADER_BYTES;
    }

    private static void takeWritableData(VirtioBlkRequest request) {
        DescriptorChain chain = request.chain;
        int count = chain.writableCount();
        if (chain.buffers().length(chain.buffers().count() - 1) == 0) {
            count--; // The status had a buffer of its own.
        }
        request.dataFirst = chain.readableCount();
        request.dataCount = count;
        request.dataBytes = chain.writableBytes() - 1;
    }

    private int checkRange(long offset, long length) {
        long capacityBytes = capacity.bytes();
        boolean wholeSectors = length % SECTOR_BYTES == 0;
        boolean inside = length <= capacityBytes && offset <= capacityBytes - length;
        return wholeSectors && inside ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
    }

    /**
     * Reads the segments of a DISCARD, WRITE_ZEROES or SECURE_ERASE and checks all of them (section 5.2.6) before the first
     * is carried out.
     *
     * @param sectorsMax longest segment; 0 when the feature was not negotiated
     */
    private int parseRanges(VirtioBlkRequest request, int headerEnd, long sectorsMax, long alignmentBytes) {
        takeReadableData(request, headerEnd);
        if (request.type == VIRTIO_BLK_T_SECURE_ERASE && request.dataBytes == 0) {
            // Linux' driver (6.1 and 6.12) takes the direction from the type's lowest bit, and 14 is even: its segments
            // lie in the writable part.
            takeWritableData(request);
        }
        if (readOnly) {
            return VIRTIO_BLK_S_IOERR;
        }
        if (sectorsMax == 0) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        long bytes = request.dataBytes;
        if (bytes == 0 || bytes % SEGMENT_BYTES != 0 || bytes / SEGMENT_BYTES > rules.rangesMax()) {
            return VIRTIO_BLK_S_IOERR;
        }
        int count = (int) (bytes / SEGMENT_BYTES);
        RangeReader reader = new RangeReader(request.chain.buffers(), request.dataFirst);
        int status = VIRTIO_BLK_S_OK;
        for (int i = 0; i < count; i++) {
            long sector = reader.nextLong();
            long sectorsAndFlags = reader.nextLong();
            long sectors = sectorsAndFlags & 0xffffffffL;
            int flags = (int) (sectorsAndFlags >>> 32);
            // Any flag but unmap, and unmap on anything but write zeroes, are unsupported, whatever else is wrong.
            boolean unmap = flags == VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
            if (flags != 0 && !(unmap && request.type == VIRTIO_BLK_T_WRITE_ZEROES)) {
                return VIRTIO_BLK_S_UNSUPP;
            }
            if (!isRange(sector, sectors, sectorsMax, alignmentBytes)) {
                status = VIRTIO_BLK_S_IOERR;
                continue;
            }
            request.rangeOffsets[i] = sector * SECTOR_BYTES;
            request.rangeLengths[i] = sectors * SECTOR_BYTES;
            request.rangeFlags[i] = flags;
        }
        request.rangeCount = count;
        return status;
    }

    private boolean isRange(long sector, long sectors, long sectorsMax, long alignmentBytes) {
        if (sectors > sectorsMax || sector < 0 || sector > Long.MAX_VALUE / SECTOR_BYTES) {
            return false;
        }
        long offset = sector * SECTOR_BYTES;
        long length = sectors * SECTOR_BYTES;
        return checkRange(offset, length) == VIRTIO_BLK_S_OK
                && offset % alignmentBytes == 0
                && (length % alignmentBytes == 0 || offset + length == capacity.bytes());
    }

    /** Reads longs from a byte stream that lies in several buffers; a few bytes, so byte by byte. */
    private static final class RangeReader {
        private final IoVectors buffers;
        private int buffer;
        private long used;

        private RangeReader(IoVectors buffers, int first) {
            this.buffers = buffers;
            buffer = first;
        }

        private long nextLong() {
            long value = 0;
            for (int i = 0; i < 8; i++) {
                while (used == buffers.length(buffer)) {
                    buffer++;
                    used = 0;
                }
                value |= (HostMemory.getByte(buffers.base(buffer) + used++) & 0xffL) << (8 * i);
            }
            return value;
        }
    }
}
