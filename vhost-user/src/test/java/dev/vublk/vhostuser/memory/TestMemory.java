// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Guest memory for tests: real memory of this process, in one region or several that adjoin for the guest. */
public final class TestMemory implements AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final long[] guestAddresses;
    private final long[] sizes;
    private final MemorySegment[] segments;

    /** Regions one behind the other in guest space from {@code guestAddress} on; apart from each other here. */
    public TestMemory(long guestAddress, long... sizes) {
        this.sizes = sizes;
        guestAddresses = new long[sizes.length];
        segments = new MemorySegment[sizes.length];
        long at = guestAddress;
        for (int i = 0; i < sizes.length; i++) {
            guestAddresses[i] = at;
            segments[i] = arena.allocate(sizes[i], 4096);
            at += sizes[i];
        }
    }

    public GuestMemory snapshot() {
        return new GuestMemory(
                guestAddresses.clone(),
                sizes.clone(),
                guestAddresses.clone(),
                Arrays.stream(segments).mapToLong(MemorySegment::address).toArray());
    }

    public long hostAddress(long guestAddress) {
        long host = snapshot().translate(guestAddress, 1);
        if (host == GuestMemory.UNMAPPED) {
            throw new IllegalArgumentException("no memory at " + guestAddress);
        }
        return host;
    }

    @Override
    public void close() {
        arena.close();
    }
}
