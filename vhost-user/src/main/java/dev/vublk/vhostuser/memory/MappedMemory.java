// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/** The control side of guest memory: the regions that are mapped, and snapshots of them. Control loop. */
public final class MappedMemory implements AutoCloseable {
    private final List<MemoryRegion> regions = new ArrayList<>();
    private GuestMemory snapshot = GuestMemory.EMPTY;

    /** No memory yet. */
    public MappedMemory() {}

    /**
     * Maps a whole table; when any of its regions cannot be, none is.
     *
     * @param fds the descriptor of each region by its position; they stay the caller's
     */
    public static MappedMemory map(MemoryTable table, IntUnaryOperator fds) throws VhostUserProtocolException {
        MappedMemory memory = new MappedMemory();
        boolean complete = false;
        try {
            for (int i = 0; i < table.regions().size(); i++) {
                memory.add(table.regions().get(i), fds.applyAsInt(i));
            }
            complete = true;
            return memory;
        } finally {
            if (!complete) {
                memory.close();
            }
        }
    }

    /** Maps one more region. Snapshots taken before stay valid. */
    public void add(MemoryRegionDescription description, int fd) throws VhostUserProtocolException {
        if (regions.size() == MemoryTable.REGIONS_MAX) {
            throw new VhostUserProtocolException(description + " is one more than " + MemoryTable.REGIONS_MAX);
        }
        MemoryRegion region = MemoryRegion.map(description, fd);
        for (MemoryRegion other : regions) {
            if (region.overlaps(other)) {
                region.close();
                throw new VhostUserProtocolException(description + " overlaps " + other.description());
            }
        }
        regions.add(region);
        snapshot = takeSnapshot();
    }

    /** Whether there is such a region. */
    public boolean contains(MemoryRegionDescription description) {
        return find(description) != null;
    }

    /** Unmaps a region, if there is such. No queue may use a snapshot that holds it. */
    public void remove(MemoryRegionDescription description) {
        MemoryRegion region = find(description);
        if (region != null) {
            regions.remove(region);
            snapshot = takeSnapshot();
            region.close();
        }
    }

    /** The mapping of a region, which is there. */
    public FileMapping mapping(MemoryRegionDescription description) {
        return Objects.requireNonNull(find(description), "region").mapping();
    }

    /** The mappings of all regions. */
    public List<FileMapping> mappings() {
        return regions.stream().map(MemoryRegion::mapping).toList();
    }

    private @Nullable MemoryRegion find(MemoryRegionDescription description) {
        for (MemoryRegion region : regions) {
            if (region.description().isSameRegion(description)) {
                return region;
            }
        }
        return null;
    }

    /** The regions as they are now, the largest first: that is where nearly every descriptor points. */
    private GuestMemory takeSnapshot() {
        List<MemoryRegion> ordered = new ArrayList<>(regions);
        ordered.sort(Comparator.comparingLong(
                        (MemoryRegion region) -> region.description().sizeBytes())
                .reversed());
        return new GuestMemory(
                ordered.stream()
                        .mapToLong(region -> region.description().guestAddress())
                        .toArray(),
                ordered.stream()
                        .mapToLong(region -> region.description().sizeBytes())
                        .toArray(),
                ordered.stream()
                        .mapToLong(region -> region.description().userAddress())
                        .toArray(),
                ordered.stream().mapToLong(MemoryRegion::hostAddress).toArray());
    }

    public GuestMemory snapshot() {
        return snapshot;
    }

    /** Unmaps all. No queue may use any snapshot. */
    @Override
    public void close() {
        snapshot = GuestMemory.EMPTY;
        regions.forEach(MemoryRegion::close);
        regions.clear();
    }
}
