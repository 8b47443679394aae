// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.Poll;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The memory of a guest that has migrated here without it: pages come when the back end touches them, from what they held before
 * they were taken away. The test's own thread must not touch one before the back end has.
 */
final class LateMemory implements AutoCloseable {
    static final int PAGE = SharedMapping.PAGE_SIZE_BYTES;

    private static final int TIMEOUT_S = 20;
    // struct uffd_msg
    private static final int MESSAGE_BYTES = 32;
    private static final int MESSAGE_ADDRESS = 16;

    private final int stopFd = EventFd.create();
    private final Set<Long> withheld = new ConcurrentSkipListSet<>();
    private final Set<Long> brought = new ConcurrentSkipListSet<>();
    private final CountDownLatch withheldWanted = new CountDownLatch(1);
    private final List<Long> wantedWithheld = new ArrayList<>();
    private int userFaultFd = -1;
    private long base;
    private byte[] content = {};
    private @Nullable RandomAccessFile file;
    private @Nullable Thread source;

    /** Tells the back end that memory is going to come late. */
    void listen(VhostUserFrontend frontend) throws IOException {
        userFaultFd = frontend.postcopyAdvise();
        if (userFaultFd < 0 || !frontend.postcopyListen()) {
            throw new AssertionError("the back end does not want to wait for memory");
        }
    }

    /** Remembers what the memory holds, up to that many bytes, and empties it. */
    void takeAway(FrontendMemory memory, int usedBytes) throws IOException {
        content = new byte[usedBytes];
        HostMemory.copyOut(memory.hostAddress(), content, 0, usedBytes);
        SharedMapping.resize(memory.fd(), 0);
        SharedMapping.resize(memory.fd(), memory.sizeBytes());
        file = new RandomAccessFile("/proc/self/fd/" + memory.fd(), "rw");
    }

    /** Gives the memory to the back end by SET_MEM_TABLE, not yet acknowledged. */
    void give(Guest guest) throws IOException {
        base = guest.frontend().setMemTablePostcopy(guest.memory())[0];
    }

    /** The same by ADD_MEM_REG. */
    void add(Guest guest) throws IOException {
        base = guest.frontend().addMemRegPostcopy(guest.memory());
    }

    /** Is ready for faults from now on. */
    void acknowledge(Guest guest, FrontendRequest request) throws IOException {
        source = Thread.ofPlatform().name("page-source").start(this::serve);
        guest.frontend().postcopyAck(request);
    }

    private void serve() {
        byte[] message = new byte[MESSAGE_BYTES];
        while ((Poll.await(userFaultFd, Poll.POLLIN, stopFd, Poll.FOR_EVER) & 2) == 0) {
            if (FileDescriptor.read(userFaultFd, message) != MESSAGE_BYTES) {
                continue;
            }
            long address =
                    ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN).getLong(MESSAGE_ADDRESS);
            long page = (address - base) / PAGE;
            if (withheld.contains(page)) {
                wantedWithheld.add(page);
                withheldWanted.countDown();
            } else {
                bring(page);
            }
        }
    }

    /** One write of a whole page: nobody who faults meanwhile sees half of it. */
    private void bring(long page) {
        put(page);
        UserFault.wake(userFaultFd, base + page * PAGE, PAGE);
    }

    private void put(long page) {
        ByteBuffer bytes = ByteBuffer.allocate(PAGE);
        int known = Math.clamp(content.length - page * PAGE, 0, PAGE);
        bytes.put(0, content, known == 0 ? 0 : (int) page * PAGE, known);
        if (brought.add(page)) {
            try {
                Objects.requireNonNull(file).getChannel().write(bytes.clear(), page * PAGE);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Pages from that guest address on do not come. */
    void withhold(FrontendMemory memory, long hostAddress) {
        withheld.add((hostAddress - memory.hostAddress()) / PAGE);
    }

    /** Waits until the back end wants a page that is withheld. */
    void awaitWithheldWanted() throws InterruptedException {
        if (!withheldWanted.await(TIMEOUT_S, TimeUnit.SECONDS)) {
            throw new AssertionError("nobody wants the page");
        }
    }

    /** Lets what was withheld come. */
    void release() {
        List<Long> pages = List.copyOf(withheld);
        withheld.clear();
        pages.forEach(this::bring);
    }

    /** Brings everything that has not come yet. */
    void bringAll() {
        for (long page = 0; page * PAGE < content.length; page++) {
            bring(page);
        }
    }

    /** The same, withheld pages too, without telling whoever waits for one. */
    void bringAllUnheard() {
        for (long page = 0; page * PAGE < content.length; page++) {
            put(page);
        }
    }

    int broughtCount() {
        return brought.size();
    }

    void stopServing() throws InterruptedException {
        EventFd.signal(stopFd);
        Thread serving = source;
        if (serving != null) {
            serving.join();
        }
    }

    @Override
    public void close() throws IOException {
        try {
            stopServing();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        EventFd.close(stopFd);
        if (userFaultFd >= 0) {
            FileDescriptor.close(userFaultFd);
        }
        if (file != null) {
            file.close();
        }
    }
}
