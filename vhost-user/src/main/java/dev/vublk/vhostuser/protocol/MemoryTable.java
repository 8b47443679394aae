// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * The payload of SET_MEM_TABLE: all of the guest's memory.
 *
 * <pre>
 *   0       4         8
 *   | count | padding | count regions of 32 bytes
 * </pre>
 */
public record MemoryTable(List<MemoryRegionDescription> regions) {
    /** As many as QEMU's own library takes; the answer to GET_MAX_MEM_SLOTS, which must never shrink. */
    public static final int REGIONS_MAX = 509;

    static final int HEADER_SIZE_BYTES = 8;
    static final int SIZE_BYTES_MAX = HEADER_SIZE_BYTES + REGIONS_MAX * MemoryRegionDescription.SIZE_BYTES;

    public MemoryTable {
        regions = List.copyOf(regions);
    }

    public static MemoryTable decode(ByteBuffer buffer) throws VhostUserProtocolException {
        int count = buffer.getInt();
        buffer.getInt();
        if (count < 0 || count > buffer.remaining() / MemoryRegionDescription.SIZE_BYTES) {
            throw new VhostUserProtocolException(
                    "memory table of " + Integer.toUnsignedLong(count) + " regions in " + buffer.limit() + " bytes");
        }
        List<MemoryRegionDescription> regions = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            regions.add(MemoryRegionDescription.decode(buffer));
        }
        return new MemoryTable(regions);
    }

    /** The same regions, each changed. */
    public MemoryTable map(UnaryOperator<MemoryRegionDescription> change) {
        return new MemoryTable(regions.stream().map(change).toList());
    }

    public ByteBuffer encode() {
        ByteBuffer buffer = Wire.allocate(HEADER_SIZE_BYTES + regions.size() * MemoryRegionDescription.SIZE_BYTES);
        buffer.putInt(regions.size()).putInt(0);
        regions.forEach(region -> region.encode(buffer));
        return buffer.flip();
    }
}
