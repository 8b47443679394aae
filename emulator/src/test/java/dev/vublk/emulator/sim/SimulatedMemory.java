// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Arrays;

/**
 * The guest's memory, and where its driver sees it: as it is, or behind an IOMMU, where pages that are neighbours for driver and
 * device are not so in the memory, and may be exchanged for others. One thread.
 *
 * <pre>
 *   driver's view, I/O addresses   | page 0 | page 1 | page 2 | ...
 *   guest memory                   | page 3 | page 10| page 17| ...   and some that nobody may touch
 * </pre>
 */
final class SimulatedMemory implements AutoCloseable {
    static final int PAGE_BYTES = 4096;
    static final int PAGES = (int) (Simulation.QUEUES_MAX * SimulatedQueue.BYTES / PAGE_BYTES);

    /** I/O addresses from here on; arbitrary, none of the guest's own. */
    static final long IOVA_BASE = 0x7f_ffc0_0000L;

    private static final long GUEST_ADDRESS = 0x4000_0000L;
    private static final int SPARE_PAGES = 16;

    /** What fills pages that nobody may touch. */
    private static final byte CANARY = (byte) 0xa5;

    private final FrontendMemory memory;
    private final long viewAddress;

    /** The page of the memory behind each of the view; -1 before the first use. */
    private final int[] behind = new int[PAGES];

    private final ArrayDeque<Integer> spares = new ArrayDeque<>();
    private final byte[] bytes = new byte[PAGE_BYTES];
    private final byte[] canary = new byte[PAGE_BYTES];
    private boolean translated;

    SimulatedMemory() throws IOException {
        memory = FrontendMemory.create(GUEST_ADDRESS, (long) (PAGES + SPARE_PAGES) * PAGE_BYTES);
        viewAddress = SharedMapping.reserve((long) PAGES * PAGE_BYTES);
        Arrays.fill(behind, -1);
        Arrays.fill(canary, CANARY);
    }

    /** Everything is zero again; with {@code behindIommu} the driver sees the memory through one. */
    void reset(boolean behindIommu) {
        translated = behindIommu;
        HostMemory.fill(memory.hostAddress(), (long) PAGES * PAGE_BYTES, (byte) 0);
        HostMemory.fill(memory.hostAddress() + (long) PAGES * PAGE_BYTES, (long) SPARE_PAGES * PAGE_BYTES, CANARY);
        spares.clear();
        for (int i = 0; i < SPARE_PAGES; i++) {
            spares.add(PAGES + i);
        }
        for (int i = 0; i < PAGES && behindIommu; i++) {
            show(i, (i * 7 + 3) % PAGES); // 7 and the number of pages have no common divisor.
        }
    }

    private void show(int page, int memoryPage) {
        if (behind[page] == memoryPage) {
            return;
        }
        behind[page] = memoryPage;
        long target = viewAddress + (long) page * PAGE_BYTES;
        if (SharedMapping.alias(memoryAddress(memoryPage), PAGE_BYTES, target) != target) {
            throw new AssertionError("a page cannot be mapped again");
        }
    }

    private long memoryAddress(int memoryPage) {
        return memory.hostAddress() + (long) memoryPage * PAGE_BYTES;
    }

    /** What a front end passes. */
    FrontendMemory table() {
        return memory;
    }

    /** Where the driver sees its first byte. */
    long driverAddress() {
        return translated ? viewAddress : memory.hostAddress();
    }

    /** What the driver tells the device of one of its addresses. */
    long deviceAddress(long driverAddress) {
        return translated ? IOVA_BASE + (driverAddress - viewAddress) : memory.toGuestAddress(driverAddress);
    }

    /** What the front end tells of a ring's address: its own, or the IOMMU's. */
    long ringAddress(long driverAddress) {
        return translated ? deviceAddress(driverAddress) : driverAddress;
    }

    /** The number of the guest-physical page in which a driver's address lies, as a dirty log has it. */
    long guestPage(long driverAddress) {
        long page = (driverAddress - driverAddress()) / PAGE_BYTES;
        return GUEST_ADDRESS / PAGE_BYTES + (translated ? behind[(int) page] : page);
    }

    /** The front end's address of the memory behind a page of the view. */
    long userAddress(int page) {
        return memoryAddress(behind[page]);
    }

    /** Puts a page that nobody has touched behind one of the view, with the same content. Nobody may touch the old one any more. */
    void exchange(int page) {
        int old = behind[page];
        int fresh = spares.remove();
        HostMemory.copyOut(memoryAddress(old), bytes, 0, PAGE_BYTES);
        show(page, fresh);
        HostMemory.copyIn(bytes, 0, memoryAddress(fresh), PAGE_BYTES);
        HostMemory.fill(memoryAddress(old), PAGE_BYTES, CANARY);
        spares.add(old);
    }

    /** Whether nobody has written where nobody may. */
    boolean areSparesUntouched() {
        for (int spare : spares) {
            HostMemory.copyOut(memoryAddress(spare), bytes, 0, PAGE_BYTES);
            if (!Arrays.equals(bytes, canary)) {
                return false;
            }
        }
        return true;
    }

    /** A copy of the guest's memory. */
    byte[] copy() {
        byte[] all = new byte[(PAGES + SPARE_PAGES) * PAGE_BYTES];
        HostMemory.copyOut(memory.hostAddress(), all, 0, all.length);
        return all;
    }

    /** Where in a {@link #copy} a guest-physical page begins. */
    static int offsetInCopy(long guestPage) {
        return (int) (guestPage - GUEST_ADDRESS / PAGE_BYTES) * PAGE_BYTES;
    }

    /** The log that covers all of the memory, in bytes. */
    static long logBytes() {
        return (GUEST_ADDRESS / PAGE_BYTES + PAGES + SPARE_PAGES + Byte.SIZE - 1) / Byte.SIZE;
    }

    @Override
    public void close() {
        SharedMapping.unmap(viewAddress, (long) PAGES * PAGE_BYTES);
        memory.close();
    }
}
