// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.HostMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One queue as a driver has it: makes requests, cuts them into buffers, shows them, kicks when the device wants it, and
 * looks for what is done when it is interrupted (or whenever it likes, if it polls). Checks what the device answers.
 */
final class SimulatedQueue implements AutoCloseable {
    static final int ARENA_BYTES = 16_384;
    static final int ARENAS = 12;
    static final int SIZE_MAX = 64;
    static final long BYTES = 8192 + (long) ARENA_BYTES * ARENAS;

    private static final int DATA_SECTORS_MAX = 16;
    private static final int RANGES_MAX = 3;
    private static final int PIECES_MAX = 4;
    private static final byte UNTOUCHED = (byte) 0xee;

    private final SimulatedGuest guest;
    private final SimulatedWorld world;
    private final int index;
    private final long address;
    private final boolean usesInterrupts;
    private final int percentAligned;
    private final int kickFd = EventFd.create();
    private final int callFd = EventFd.create();
    private final int errFd = EventFd.create();
    private final DriverVirtqueue ring;
    private final @Nullable SimulatedRequest[] inFlight;
    /** The requests in the ring, in the order in which they were made. */
    private final ArrayDeque<SimulatedRequest> order = new ArrayDeque<>();

    private final List<SimulatedRequest> unpublished = new ArrayList<>();
    private final ArrayDeque<Integer> freeArenas = new ArrayDeque<>();
    private final byte[] buffer = new byte[ARENA_BYTES];
    private boolean mayHaveToKick;
    private int outstanding;

    SimulatedQueue(SimulatedGuest guest, SimulatedWorld world, int index, long address, int size, long features) {
        this.guest = guest;
        this.world = world;
        this.index = index;
        this.address = address;
        usesInterrupts = world.chance(60);
        percentAligned = world.between(0, 100);
        ring = DriverVirtqueue.of(address, size, features);
        inFlight = new SimulatedRequest[size];
        reset();
    }

    /** The driver forgets its ring and everything in it, as after a reboot. */
    void reset() {
        ring.reset();
        if (!usesInterrupts) {
            ring.suppressInterrupts();
        }
        for (int i = 0; i < inFlight.length; i++) {
            SimulatedRequest request = inFlight[i];
            if (request != null) {
                guest.abandon(request);
                inFlight[i] = null;
            }
        }
        unpublished.clear();
        order.clear();
        outstanding = 0;
        mayHaveToKick = false;
        freeArenas.clear();
        for (int i = 0; i < ARENAS; i++) {
            freeArenas.add(i);
        }
        EventFd.drain(kickFd);
        EventFd.drain(callFd);
    }

    int index() {
        return index;
    }

    DriverVirtqueue ring() {
        return ring;
    }

    /** How many requests the device has returned, taken or not. */
    int returned() {
        return ring.returnedCount();
    }

    int kickFd() {
        return kickFd;
    }

    int callFd() {
        return callFd;
    }

    int errFd() {
        return errFd;
    }

    /** Requests that the driver has made and not seen the end of. */
    int outstanding() {
        return outstanding;
    }

    /** The driver does something, by chance. */
    void act(boolean makesRequests) {
        int choice = world.random.nextInt(100);
        if (choice < 40 && makesRequests) {
            for (int left = world.between(1, 4); left > 0 && !freeArenas.isEmpty(); left--) {
                if (!add(guest.newRequest())) {
                    break;
                }
            }
            if (world.chance(60)) {
                publish();
            }
        } else if (choice < 60) {
            publish();
        } else if (choice < 75) {
            kickIfWanted();
        } else {
            takeUsed();
        }
    }

    private void publish() {
        if (unpublished.isEmpty()) {
            return;
        }
        for (SimulatedRequest request : unpublished) {
            guest.begin(request);
        }
        unpublished.clear();
        checkRingLogged();
        ring.publish();
        absorbRing();
        mayHaveToKick = true;
        if (world.chance(50)) {
            kickIfWanted();
        }
    }

    private void kickIfWanted() {
        if (mayHaveToKick) {
            mayHaveToKick = false;
            if (ring.shouldKick()) {
                EventFd.signal(kickFd);
            }
        }
    }

    private void takeUsed() {
        if (usesInterrupts) {
            if (EventFd.drain(callFd) != Long.BYTES) {
                return; // A driver that was not interrupted does not look.
            }
            do {
                pollUsed();
            } while (ring.requestInterrupt());
        } else {
            pollUsed();
            ring.suppressInterrupts();
        }
    }

    private void pollUsed() {
        checkRingLogged();
        try {
            while (ring.pollUsed()) {
                int head = ring.usedId();
                SimulatedRequest request = Objects.requireNonNull(inFlight[head], "request");
                inFlight[head] = null;
                if (guest.isInOrder() && request != order.getFirst()) {
                    throw world.fail(request + " was returned before " + order.getFirst());
                }
                order.remove(request);
                outstanding--;
                complete(request, ring.usedBytes());
                freeArenas.add(request.arena);
            }
        } catch (IllegalStateException e) {
            throw world.fail("queue " + index + ": " + e.getMessage());
        }
    }

    /** Puts a request into guest memory and the ring. Returns false when there is no room for it. */
    private boolean add(SimulatedRequest request) {
        byte[] readable = readable(request);
        int writableBytes = request.answerBytes() + 1;
        int arena = freeArenas.getFirst();
        long base = address + 8192 + (long) arena * ARENA_BYTES;
        boolean aligned = world.chance(percentAligned);
        List<Integer> lengths = new ArrayList<>();
        cut(lengths, readable.length, aligned ? 16 : 0);
        int readableCount = lengths.size();
        cut(lengths, writableBytes, aligned ? writableBytes - 1 : 0);
        int count = lengths.size();
        boolean indirect = guest.hasIndirect() && world.chance(50);
        if (indirect ? ring.freeCount() < 1 : ring.freeCount() < count) {
            return false;
        }
        long[] guestAddresses = new long[count];
        long[] addresses = new long[count];
        int[] sizes = new int[count];
        long at = base + 1024;
        int done = 0;
        for (int i = 0; i < count; i++) {
            sizes[i] = lengths.get(i);
            at = aligned && sizes[i] >= SectorData.BYTES ? at + 4095 & -4096 : at + world.random.nextInt(32);
            addresses[i] = at;
            guestAddresses[i] = guest.deviceAddress(at);
            if (i < readableCount) {
                HostMemory.copyIn(readable, done, at, sizes[i]);
                done += sizes[i];
            } else {
                HostMemory.fill(at, sizes[i], UNTOUCHED);
            }
            at += sizes[i];
        }
        if (at > base + ARENA_BYTES) {
            throw new AssertionError("an arena is too small");
        }
        checkRingLogged();
        if (guest.hasIommu() && world.chance(4)) {
            request.isRefused = true;
            guestAddresses[world.random.nextInt(count - 1)] = SimulatedIommu.NOWHERE + world.random.nextInt(4096);
        }
        int head;
        if (indirect) {
            for (int i = 0; i < count; i++) {
                ring.putTableEntry(base, count, i, guestAddresses[i], sizes[i], i >= readableCount);
            }
            head = ring.addIndirect(guest.deviceAddress(base), count);
        } else {
            head = ring.add(guestAddresses, sizes, readableCount, count - readableCount);
        }
        absorbRing();
        freeArenas.removeFirst();
        request.arena = arena;
        request.writableAddresses = Arrays.copyOfRange(addresses, readableCount, count);
        request.writableLengths = Arrays.copyOfRange(sizes, readableCount, count);
        inFlight[head] = request;
        order.add(request);
        outstanding++;
        unpublished.add(request);
        return true;
    }

    /** Cuts a stream into buffers: after {@code first} bytes when that is not 0, else anywhere. */
    private void cut(List<Integer> lengths, int bytes, int first) {
        int left = bytes;
        if (first > 0 && first < bytes) {
            lengths.add(first);
            left -= first;
        }
        for (int pieces = first > 0 ? 0 : world.random.nextInt(PIECES_MAX); pieces > 0 && left > 1; pieces--) {
            int piece = world.chance(50) ? 1 + world.random.nextInt(left - 1) : Math.min(left - 1, 16);
            lengths.add(piece);
            left -= piece;
        }
        if (left > 0) {
            lengths.add(left);
        }
    }

    private byte[] readable(SimulatedRequest request) {
        boolean hasSegments = request.type == SimulatedRequest.DISCARD || request.type == SimulatedRequest.WRITE_ZEROES;
        int dataBytes = request.type == SimulatedRequest.OUT
                ? request.count * SectorData.BYTES
                : hasSegments ? 16 * request.ranges.size() : 0;
        byte[] bytes = new byte[16 + dataBytes];
        ByteBuffer header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        header.putInt(request.type).putInt(0).putLong(hasSegments ? 0 : request.first);
        if (request.type == SimulatedRequest.OUT) {
            for (int i = 0; i < request.count; i++) {
                SectorData.put(bytes, 16 + i * SectorData.BYTES, request.stamp, request.first + i);
            }
        } else if (hasSegments) {
            int flags = request.type == SimulatedRequest.WRITE_ZEROES ? world.random.nextInt(2) : 0;
            for (int[] range : request.ranges) {
                header.putLong(range[0]).putInt(range[1]).putInt(flags);
            }
        }
        return bytes;
    }

    /** What the device has written into the ring is marked, where that is logged. */
    void checkRingLogged() {
        SimulatedLog log = guest.log();
        if (log != null && guest.frontend().logsRing(index)) {
            log.check(this, ring.usedAddress(), usedAreaBytes());
            log.check(this, ring.descAddress(), sharedDescBytes());
        }
    }

    /** What of the ring the driver has just written, where the device writes, too. */
    private void absorbRing() {
        SimulatedLog log = guest.log();
        if (log != null) {
            log.absorb(ring.descAddress(), sharedDescBytes());
        }
    }

    private int usedAreaBytes() {
        return guest.hasPackedRings() ? Integer.BYTES : 6 + 8 * ring.size();
    }

    /** Of a packed ring the device writes descriptors. */
    private int sharedDescBytes() {
        return guest.hasPackedRings() ? 16 * ring.size() : 0;
    }

    private void complete(SimulatedRequest request, int usedBytes) {
        int done = 0;
        for (int i = 0; i < request.writableLengths.length; i++) {
            HostMemory.copyOut(request.writableAddresses[i], buffer, done, request.writableLengths[i]);
            done += request.writableLengths[i];
        }
        if (request.isRefused) {
            checkUntouched(request, done - 1);
        }
        checkLogged(request);
        guest.complete(this, request, buffer, usedBytes);
    }

    private void checkUntouched(SimulatedRequest request, int count) {
        for (int i = 0; i < count; i++) {
            if (buffer[i] != UNTOUCHED) {
                throw world.fail(request + " has a buffer that the device may not touch, and was carried out");
            }
        }
    }

    /** What the device has written for the request: all that it may, or the status alone. */
    private void checkLogged(SimulatedRequest request) {
        SimulatedLog log = guest.log();
        int last = request.writableLengths.length - 1;
        for (int i = 0; log != null && i <= last; i++) {
            int skipped = request.isRefused ? request.writableLengths[i] - (i == last ? 1 : 0) : 0;
            log.check(request, request.writableAddresses[i] + skipped, request.writableLengths[i] - skipped);
        }
    }

    static int dataSectorsMax() {
        return DATA_SECTORS_MAX;
    }

    static int rangesMax() {
        return RANGES_MAX;
    }

    @Override
    public void close() {
        FileDescriptor.close(kickFd);
        FileDescriptor.close(callFd);
        FileDescriptor.close(errFd);
    }

    @Override
    public String toString() {
        return "queue " + index;
    }
}
