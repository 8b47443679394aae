// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.memory.IovaArea;
import dev.vublk.vhostuser.memory.IovaMap;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.virtqueue.IovaMiss;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;

/**
 * Where the three parts of a ring lie whose addresses are those of the guest's IOMMU. Owns what was mapped for that. Control
 * loop.
 */
final class RingTranslation implements AutoCloseable {
    /** Misses asked for at once; what is more comes after them. Arbitrary, more than any usual ring has pages. */
    private static final int MISSES_MAX = 64;

    /** A part of a ring: descriptors, driver area, device area. */
    private record Part(long iova, long lengthBytes, int permission) {
        private long last() {
            return iova + lengthBytes - 1;
        }
    }

    private final List<Part> parts;
    private final List<IovaArea> areas = new ArrayList<>();

    private RingTranslation(List<Part> parts) {
        this.parts = parts;
    }

    private static List<Part> parts(VringAddress at, RingFormat format, int size) throws VhostUserProtocolException {
        boolean packed = format == RingFormat.PACKED;
        // The used index of a split ring is read once, at the start; the device area of a packed one never.
        List<Part> parts = List.of(
                new Part(at.descUserAddress(), format.descBytes(size), packed ? IotlbMessage.RW : IotlbMessage.RO),
                new Part(at.availUserAddress(), format.availBytes(size), IotlbMessage.RO),
                new Part(at.usedUserAddress(), format.usedBytes(size), packed ? IotlbMessage.WO : IotlbMessage.RW));
        for (Part part : parts) {
            if (Long.compareUnsigned(part.last(), part.iova()) < 0) {
                throw new VhostUserProtocolException(
                        "ring " + at.index() + " wraps around the end of the address space");
            }
        }
        return parts;
    }

    /** What is not known of the ring's pages. */
    static long[] missing(IovaMap map, VringAddress at, RingFormat format, int size) throws VhostUserProtocolException {
        LongStream.Builder misses = LongStream.builder();
        for (Part part : parts(at, format, size)) {
            long offset = part.iova() & (Iotlb.PAGE_BYTES - 1);
            for (long done = -offset; done < part.lengthBytes(); done += Iotlb.PAGE_BYTES) {
                long first = part.iova() + Math.max(done, 0);
                long last = part.iova() + Math.min(done + Iotlb.PAGE_BYTES, part.lengthBytes()) - 1;
                if (!map.covers(first, last, part.permission())) {
                    misses.add(IovaMiss.encode(first & -Iotlb.PAGE_BYTES, part.permission()));
                }
            }
        }
        return misses.build().distinct().limit(MISSES_MAX).toArray();
    }

    /** The translation of a ring of which nothing is missing. */
    static RingTranslation of(IovaMap map, VringAddress at, RingFormat format, int size)
            throws VhostUserProtocolException {
        RingTranslation translation = new RingTranslation(parts(at, format, size));
        boolean complete = false;
        try {
            for (Part part : translation.parts) {
                translation.areas.add(IovaArea.of(map, part.iova(), part.lengthBytes(), part.permission()));
            }
            complete = true;
            return translation;
        } finally {
            if (!complete) {
                translation.close();
            }
        }
    }

    long descHostAddress() {
        return areas.get(0).hostAddress();
    }

    long availHostAddress() {
        return areas.get(1).hostAddress();
    }

    long usedHostAddress() {
        return areas.get(2).hostAddress();
    }

    /** The guest's memory, with what was mapped for the ring. */
    GuestMemory addTo(GuestMemory memory) {
        GuestMemory result = memory;
        for (IovaArea area : areas) {
            result = area.addTo(result);
        }
        return result;
    }

    /** Whether a part of the ring lies in that range. */
    boolean uses(long first, long last) {
        for (Part part : parts) {
            if (Long.compareUnsigned(part.iova(), last) <= 0 && Long.compareUnsigned(first, part.last()) <= 0) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void close() {
        areas.forEach(IovaArea::close);
        areas.clear();
    }
}
