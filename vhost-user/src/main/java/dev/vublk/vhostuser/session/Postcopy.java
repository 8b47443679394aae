// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.IovaMiss;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * A live migration of which the guest's memory comes last (VHOST_USER_PROTOCOL_F_PAGEFAULT): it runs here already while pages
 * are missing, and the front end brings those that are touched. Control loop.
 *
 * <p>Nobody touches a page that may be missing: an IOThread would stand still with all that it serves, and if a garbage
 * collection began, so would the process. What is known to be there is kept in a table like that of an IOMMU, by guest-physical
 * addresses: a queue leaves a chain in its ring until what it lacks has come. A {@link PageArrival} waits for that.
 */
final class Postcopy implements AutoCloseable {
    private static final Logger LOGGER = LogManager.getLogger(Postcopy.class);

    private final ControlContext control;
    private final SessionTurn turn;
    private final int userFaultFd;
    private final Iotlb present = new Iotlb();
    private final List<PageArrival> arrivals = new ArrayList<>();

    /** Mappings whose missing pages are waited for. */
    private final Set<FileMapping> registered = new HashSet<>();

    private boolean listening;
    private boolean awaitsAck;
    private long pageCount;

    /** Of waits that always come to their end. */
    private @Nullable WaitCancel never;

    private Postcopy(ControlContext control, SessionTurn turn, int userFaultFd) {
        this.control = control;
        this.turn = turn;
        this.userFaultFd = userFaultFd;
    }

    /** POSTCOPY_ADVISE: it may come to that. Null when the kernel refuses, as the log then says. */
    static @Nullable Postcopy advise(ControlContext control, SessionTurn turn) {
        int fd = UserFault.create();
        if (fd < 0) {
            LOGGER.warn("no postcopy migration: userfaultfd: {}", Errno.describe(fd));
            return null;
        }
        return new Postcopy(control, turn, fd);
    }

    /** What the front end reads faults from; stays ours to close. */
    int userFaultFd() {
        return userFaultFd;
    }

    /** POSTCOPY_LISTEN: the memory that is given from now on has holes. */
    void listen() {
        listening = true;
    }

    boolean isListening() {
        return listening;
    }

    /** The front end has been told where memory lies here: nothing is touched until it is ready for faults. */
    void expectAck() {
        awaitsAck = true;
    }

    boolean awaitsAck() {
        return awaitsAck;
    }

    /** The front end is ready for faults in all of these. */
    void acknowledge(List<FileMapping> mappings) throws VhostUserProtocolException {
        for (FileMapping mapping : mappings) {
            if (registered.contains(mapping)) {
                continue;
            }
            int result = UserFault.register(userFaultFd, mapping.mapAddress(), mapping.mapLengthBytes());
            if (result < 0) {
                throw new VhostUserProtocolException(
                        "guest memory cannot be waited for by userfaultfd: " + Errno.describe(result));
            }
            registered.add(mapping);
        }
        awaitsAck = false;
    }

    /** The pages that are there, by guest-physical address. */
    Iotlb present() {
        return present;
    }

    /**
     * Waits for what a ring misses, beside the caller.
     *
     * @param answered gets what of it will never come, because no memory is there; may change the session
     */
    void ask(GuestMemory memory, long[] misses, Consumer<long[]> answered) {
        PageArrival arrival = new PageArrival(userFaultFd, hostPages(memory, misses));
        arrivals.add(arrival);
        WaitCancel cancel = never == null ? control.newWaitCancel() : never;
        never = cancel;
        control.spawn(() -> await(arrival, cancel, memory, misses, answered));
    }

    private static long[] hostPages(GuestMemory memory, long... misses) {
        return LongStream.of(misses)
                .map(miss -> memory.translate(IovaMiss.iova(miss), 1))
                .toArray();
    }

    private void await(
            PageArrival arrival, WaitCancel cancel, GuestMemory memory, long[] misses, Consumer<long[]> answered) {
        arrival.start();
        control.awaitReadable(arrival.endFd(), cancel);
        arrival.close();
        turn.take();
        try {
            onEnd(arrival, memory, misses, answered);
        } finally {
            turn.release();
        }
    }

    private void onEnd(PageArrival arrival, GuestMemory memory, long[] misses, Consumer<long[]> answered) {
        arrivals.remove(arrival);
        if (arrival.isGivenUp()) {
            return; // The memory has changed, and whoever still needs a page asks again.
        }
        LongStream.Builder refused = LongStream.builder();
        for (int i = 0; i < misses.length; i++) {
            long guestPage = IovaMiss.iova(misses[i]);
            if (arrival.hasCome(i)) {
                long length = Math.min(Iotlb.PAGE_BYTES, memory.contiguousBytes(guestPage));
                present.putGuestPages(guestPage, length, memory.translate(guestPage, length));
                pageCount++;
            } else {
                refused.add(misses[i]);
            }
        }
        answered.accept(refused.build().toArray());
    }

    /** These mappings are about to be unmapped: nothing waits for their pages any more when this returns. No queue runs. */
    void forget(List<FileMapping> going) {
        List<PageArrival> waiting = List.copyOf(arrivals); // Those that end meanwhile leave the list.
        for (PageArrival arrival : waiting) {
            going.forEach(arrival::giveUp);
        }
        waiting.stream().filter(PageArrival::isGivenUp).forEach(PageArrival::join);
        registered.removeAll(going);
        present.clear();
    }

    /** The end: all pages of what is still mapped are there, so whoever waits for one soon has it. No queue runs. */
    @Override
    public void close() {
        for (FileMapping mapping : registered) {
            UserFault.unregister(userFaultFd, mapping.mapAddress(), mapping.mapLengthBytes());
        }
        List.copyOf(arrivals).forEach(PageArrival::join);
        FileDescriptor.close(userFaultFd);
        if (listening) {
            LOGGER.info("postcopy migration: {} pages were waited for", pageCount);
        }
    }
}
