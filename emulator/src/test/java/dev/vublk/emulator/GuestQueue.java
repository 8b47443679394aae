// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.Poll;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** One queue as a guest's driver sees it: its ring, its eventfds and the requests in flight. One thread. */
public final class GuestQueue implements AutoCloseable {
    private static final int TIMEOUT_MS = 20_000;

    private final Guest guest;
    private final int index;
    private final DriverVirtqueue ring;
    private final int kickFd = newEventFd();
    private final int errFd = newEventFd();
    private int callFd = newEventFd();
    private int lastBase;
    private final Map<Integer, GuestRequest> inFlight = new HashMap<>();

    GuestQueue(Guest guest, int index, int size) {
        this.guest = guest;
        this.index = index;
        ring = DriverVirtqueue.of(guest.heap().allocate(DriverVirtqueue.bytes(size)), size, guest.features());
    }

    public static int newEventFd() {
        int fd = EventFd.create();
        if (fd < 0) {
            throw new AssertionError("eventfd: " + Errno.describe(fd));
        }
        return fd;
    }

    public int index() {
        return index;
    }

    public DriverVirtqueue ring() {
        return ring;
    }

    /** The ring, to write into it what no driver may write. */
    public SplitDriverVirtqueue splitRing() {
        return (SplitDriverVirtqueue) ring;
    }

    /** The ring, to write into it what no driver may write. */
    public PackedDriverVirtqueue packedRing() {
        return (PackedDriverVirtqueue) ring;
    }

    public int kickFd() {
        return kickFd;
    }

    public int callFd() {
        return callFd;
    }

    public int errFd() {
        return errFd;
    }

    /** Tells the back end everything about the ring and enables it. */
    public GuestQueue start() throws IOException {
        return start(ring.base(), kickFd, callFd);
    }

    /**
     * After a reconnect, with the base that QEMU says: where the used index of a split ring is; of a packed one, where it was when
     * it was begun or stopped last.
     */
    public GuestQueue restart() throws IOException {
        return start(ring instanceof SplitDriverVirtqueue ? ring.returnedCount() : lastBase, kickFd, callFd);
    }

    /** The same from another base and with other descriptors, -1 for none. */
    public GuestQueue start(int base, int kick, int call) throws IOException {
        setUp(base, kick, call);
        check(guest.frontend().setVringEnable(index, true), "SET_VRING_ENABLE");
        return this;
    }

    /** Enables the ring; whether the back end took that. */
    public boolean enable() throws IOException {
        return guest.frontend().setVringEnable(index, true);
    }

    /** Runs a ring that has been stopped again, from where it was; whether the back end took that. */
    public boolean resume() throws IOException {
        check(guest.frontend().setVringKick(index, kickFd), "SET_VRING_KICK");
        return enable();
    }

    /** Everything but descriptors: a queue that is kicked, and calls, by messages. */
    public GuestQueue startWithoutDescriptors() throws IOException {
        check(guest.frontend().setVringNum(index, ring.size()), "SET_VRING_NUM");
        check(guest.frontend().setVringBase(index, 0), "SET_VRING_BASE");
        sendAddresses();
        check(guest.frontend().setVringEnable(index, true), "SET_VRING_ENABLE");
        return this;
    }

    /** Everything but enabling. */
    public GuestQueue setUp(int base, int kick, int call) throws IOException {
        lastBase = base;
        check(guest.frontend().setVringNum(index, ring.size()), "SET_VRING_NUM");
        check(guest.frontend().setVringBase(index, base), "SET_VRING_BASE");
        sendAddresses();
        check(guest.frontend().setVringCall(index, call), "SET_VRING_CALL");
        check(guest.frontend().setVringErr(index, errFd), "SET_VRING_ERR");
        check(guest.frontend().setVringKick(index, kick), "SET_VRING_KICK");
        return this;
    }

    public void sendAddresses() throws IOException {
        check(
                guest.frontend()
                        .setVringAddr(
                                index,
                                guest.ringAddress(ring.descAddress()),
                                guest.ringAddress(ring.availAddress()),
                                guest.ringAddress(ring.usedAddress())),
                "SET_VRING_ADDR");
    }

    /** The same ring, its used part logged at a guest address, which may be any. */
    public void sendAddressesLogged(long logGuestAddress) throws IOException {
        check(
                guest.frontend()
                        .setVringAddrLogged(
                                index,
                                guest.ringAddress(ring.descAddress()),
                                guest.ringAddress(ring.availAddress()),
                                guest.ringAddress(ring.usedAddress()),
                                logGuestAddress),
                "SET_VRING_ADDR");
    }

    private static void check(boolean taken, String message) {
        if (!taken) {
            throw new AssertionError(message + " was refused");
        }
    }

    /** Passes a new call eventfd; the old one is closed. */
    public void replaceCallFd() throws IOException {
        int fresh = newEventFd();
        check(guest.frontend().setVringCall(index, fresh), "SET_VRING_CALL");
        FileDescriptor.close(callFd);
        callFd = fresh;
    }

    /** Puts a request into the ring without showing it. */
    public GuestRequest add(GuestRequest request) {
        request.place(guest);
        int head = request.isIndirect() ? addIndirect(request) : addChain(request);
        if (head == DriverVirtqueue.NO_HEAD) {
            throw new AssertionError("the ring is full");
        }
        inFlight.put(head, request);
        return request;
    }

    private int addChain(GuestRequest request) {
        int count = request.bufferLengths().length;
        long[] guestAddresses = new long[count];
        for (int i = 0; i < count; i++) {
            guestAddresses[i] = guest.guestAddress(request.bufferAddresses()[i]);
        }
        return ring.add(
                guestAddresses, request.bufferLengths(), request.readableBuffers(), count - request.readableBuffers());
    }

    private int addIndirect(GuestRequest request) {
        int count = request.bufferLengths().length;
        for (int i = 0; i < count; i++) {
            ring.putTableEntry(
                    request.tableAddress(),
                    count,
                    i,
                    guest.guestAddress(request.bufferAddresses()[i]),
                    request.bufferLengths()[i],
                    i >= request.readableBuffers());
        }
        return ring.addIndirect(guest.guestAddress(request.tableAddress()), count);
    }

    /** Shows the device what was added, without a kick. */
    public void publish() {
        ring.publish();
    }

    /** Kicks, wanted or not. */
    public void kick() {
        EventFd.signal(kickFd);
    }

    /** Adds, shows, and kicks if the device wants it. */
    public GuestRequest submit(GuestRequest request) {
        add(request);
        publishAndKick();
        return request;
    }

    public void publishAndKick() {
        ring.publish();
        if (ring.shouldKick()) {
            kick();
        }
    }

    /** Submits and waits until this one is done, and with it all that was submitted before. */
    public GuestRequest run(GuestRequest request) {
        submit(request);
        while (inFlight.containsValue(request)) {
            awaitOne();
        }
        return request;
    }

    /** The next request that is done, or null when there is none now. */
    public @Nullable GuestRequest poll() {
        if (!ring.pollUsed()) {
            return null;
        }
        GuestRequest request = inFlight.remove(ring.usedId());
        if (request == null) {
            throw new AssertionError("the device returned chain " + ring.usedId() + " that it does not have");
        }
        request.complete(guest, ring.usedBytes());
        return request;
    }

    /** The next request that is done, which must be there without waiting. */
    public GuestRequest take() {
        GuestRequest done = poll();
        if (done == null) {
            throw new AssertionError("nothing was completed");
        }
        return done;
    }

    /** Waits for the next request that is done, in the way of a driver: asks for an interrupt and sleeps. */
    public GuestRequest awaitOne() {
        while (true) {
            GuestRequest done = poll();
            if (done != null) {
                return done;
            }
            if (!ring.requestInterrupt()) {
                awaitSignal(callFd, "interrupt");
            }
        }
    }

    public void awaitAll() {
        while (!inFlight.isEmpty()) {
            awaitOne();
        }
    }

    /** Waits until everything is done (true), or the queue says that it is broken (false). */
    public boolean awaitAllOrBroken() {
        while (!inFlight.isEmpty()) {
            if (poll() == null && !ring.requestInterrupt()) {
                int ready = Poll.await(callFd, Poll.POLLIN, errFd, TIMEOUT_MS);
                if (ready == 0) {
                    throw new AssertionError("neither completion nor error within " + TIMEOUT_MS + " ms");
                }
                if (isErrorSignalled()) {
                    return false;
                }
                EventFd.drain(callFd);
            }
        }
        return true;
    }

    public int inFlightCount() {
        return inFlight.size();
    }

    /** Looks at the ring until a request is done: a driver that gave no call eventfd. */
    public GuestRequest spinForOne() {
        long deadlineNs = System.nanoTime() + TIMEOUT_MS * 1_000_000L;
        while (true) {
            GuestRequest done = poll();
            if (done != null) {
                return done;
            }
            if (System.nanoTime() > deadlineNs) {
                throw new AssertionError("nothing was completed");
            }
            Thread.onSpinWait();
        }
    }

    /** Waits for the error eventfd. */
    public void awaitBroken() {
        awaitSignal(errFd, "error signal");
    }

    public boolean isErrorSignalled() {
        return isSignalled(errFd);
    }

    /** Whether an eventfd is signalled now; it no longer is afterwards. */
    public static boolean isSignalled(int fd) {
        return EventFd.drain(fd) == Long.BYTES;
    }

    public static void awaitSignal(int fd, String what) {
        int result = Poll.await(fd, Poll.POLLIN, -1, TIMEOUT_MS);
        if (result == 0) {
            throw new AssertionError("no " + what + " within " + TIMEOUT_MS + " ms");
        }
        EventFd.drain(fd);
    }

    /** Stops the ring; the base that the back end answers. */
    public int stop() throws IOException {
        lastBase = guest.frontend().getVringBase(index);
        return lastBase;
    }

    @Override
    public void close() {
        FileDescriptor.close(kickFd);
        FileDescriptor.close(callFd);
        FileDescriptor.close(errFd);
    }
}
