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

    private final boolean readOnly;
    private final DiskCapacity capacity;
    private final boolean discard;
    private final boolean writeZeroes;
    private final int rangesMax;
    private final long maxDiscardSectors;
    private final long maxWriteZeroesSectors;

    VirtioBlkRequestParser(
            boolean readOnly,
            DiskCapacity capacity,
            boolean discard,
            boolean writeZeroes,
            int rangesMax,
            long maxDiscardSectors,
            long maxWriteZeroesSectors) {
        this.readOnly = readOnly;
        this.capacity = capacity;
        this.discard = discard;
        this.writeZeroes = writeZeroes;
        this.rangesMax = rangesMax;
        this.maxDiscardSectors = maxDiscardSectors;
        this.maxWriteZeroesSectors = maxWriteZeroesSectors;
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
            return VIRTIO_BLK_S_IOERR;
        }
        int headerEnd = readHeader(request);
        return switch (request.type) {
            case VIRTIO_BLK_T_IN -> parseIn(request);
            case VIRTIO_BLK_T_OUT -> parseOut(request, headerEnd);
            case VIRTIO_BLK_T_FLUSH -> VIRTIO_BLK_S_OK;
            case VIRTIO_BLK_T_GET_ID -> parseGetId(request);
            case VIRTIO_BLK_T_DISCARD -> parseRanges(request, headerEnd, discard, maxDiscardSectors);
            case VIRTIO_BLK_T_WRITE_ZEROES -> parseRanges(request, headerEnd, writeZeroes, maxWriteZeroesSectors);
            default -> VIRTIO_BLK_S_UNSUPP;
        };
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

    /** Reads the segments of a DISCARD or WRITE_ZEROES and checks each (sections 5.2.6.2 and 5.2.6.3). */
    private int parseRanges(VirtioBlkRequest request, int headerEnd, boolean negotiated, long sectorsMax) {
        takeReadableData(request, headerEnd);
        if (readOnly) {
            return VIRTIO_BLK_S_IOERR;
        }
        if (!negotiated) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        long bytes = request.dataBytes;
        if (bytes == 0 || bytes % SEGMENT_BYTES != 0 || bytes / SEGMENT_BYTES > rangesMax) {
            return VIRTIO_BLK_S_IOERR;
        }
        int count = (int) (bytes / SEGMENT_BYTES);
        RangeReader reader = new RangeReader(request.chain.buffers(), request.dataFirst);
        for (int i = 0; i < count; i++) {
            long sector = reader.nextLong();
            long sectorsAndFlags = reader.nextLong();
            long sectors = sectorsAndFlags & 0xffffffffL;
            int flags = (int) (sectorsAndFlags >>> 32);
            // Any flag but unmap, and unmap on a discard, are unsupported.
            boolean unmap = flags == VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
            if (flags != 0 && !(unmap && request.type == VIRTIO_BLK_T_WRITE_ZEROES)) {
                return VIRTIO_BLK_S_UNSUPP;
            }
            long length = sectors * SECTOR_BYTES;
            if (sectors > sectorsMax || sector < 0 || sector > Long.MAX_VALUE / SECTOR_BYTES) {
                return VIRTIO_BLK_S_IOERR;
            }
            if (checkRange(sector * SECTOR_BYTES, length) != VIRTIO_BLK_S_OK) {
                return VIRTIO_BLK_S_IOERR;
            }
            request.rangeOffsets[i] = sector * SECTOR_BYTES;
            request.rangeLengths[i] = length;
            request.rangeFlags[i] = flags;
        }
        request.rangeCount = count;
        return VIRTIO_BLK_S_OK;
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
