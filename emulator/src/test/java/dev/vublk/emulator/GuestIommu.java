// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import java.io.IOException;
import java.util.Arrays;

/**
 * The IOMMU of a test's guest, and the front end's part in it. Its addresses are one behind the other where the driver sees the
 * memory, but no two of the pages behind them adjoin in the guest's memory:
 *
 * <pre>
 *   driver's view, I/O addresses   | page 0 | page 1 | page 2 | ...
 *   guest memory                   | page 9 | page 2 | page 7 | ...
 * </pre>
 *
 * <p>It answers misses only when the test says so. One thread, the one that uses the front end.
 */
public final class GuestIommu implements AutoCloseable {
    public static final int PAGE = 4096;
    public static final long VIEW_BYTES = 4 << 20;
    public static final long IOVA_BASE = 0x7f_ffc0_0000L;

    private static final int PAGES = (int) (VIEW_BYTES / PAGE);

    private final Guest guest;
    private BackendMessages messages = BackendMessages.open();
    private final long viewAddress;
    private final int[] pages = new int[PAGES];
    private final int[] permissions = new int[PAGES];
    private int missCount;
    private int refusedCount;
    private int accessFailCount;

    public GuestIommu(Guest guest) throws IOException {
        this.guest = guest;
        viewAddress = SharedMapping.reserve(VIEW_BYTES);
        for (int i = 0; i < PAGES; i++) {
            show(i, (i * 5 + 3) % PAGES);
        }
        Arrays.fill(permissions, IotlbMessage.RW);
        guest.translateBy(this);
        passChannel();
    }

    /** After the guest has connected anew, or the channel is gone. */
    public void reconnect() throws IOException {
        dropChannel();
        messages = BackendMessages.open();
        passChannel();
    }

    /** Closes the channel, whatever was asked there. */
    public void dropChannel() {
        messages.close();
    }

    private void passChannel() throws IOException {
        if (!guest.frontend().setBackendReqFd(messages.passedFd())) {
            throw new AssertionError("SET_BACKEND_REQ_FD was refused");
        }
    }

    /** Lets another page of the guest's memory lie behind one of the IOMMU's. */
    private void show(int page, int memoryPage) {
        pages[page] = memoryPage;
        long target = viewAddress + (long) page * PAGE;
        if (SharedMapping.alias(userAddress(page), PAGE, target) != target) {
            throw new AssertionError("a page cannot be mapped again");
        }
    }

    /** Where the driver sees the memory. */
    long viewAddress() {
        return viewAddress;
    }

    public long iova(long address) {
        return IOVA_BASE + (address - viewAddress);
    }

    private long userAddress(int page) {
        return guest.memory().hostAddress() + (long) pages[page] * PAGE;
    }

    private int page(long address) {
        return (int) ((address - viewAddress) / PAGE);
    }

    /** The guest-physical page behind an address of the driver's. */
    public long guestPage(long address) {
        return Guest.GUEST_ADDRESS / PAGE + pages[page(address)];
    }

    /** What the device may do with the pages from now on; it may have heard otherwise. */
    public void permit(long address, long bytes, int permission) {
        Arrays.fill(permissions, page(address), page(address + bytes - 1) + 1, permission);
    }

    /** Puts a page that was never used behind the one of {@code address}; what was there stays where it is. */
    public void replacePage(long address) {
        show(page(address), PAGES + page(address));
    }

    public boolean invalidate(long address, long bytes) throws IOException {
        return guest.frontend().tellIotlb(invalidation(address, bytes));
    }

    public IotlbMessage invalidation(long address, long bytes) {
        return new IotlbMessage(iova(address), bytes, 0, 0, IotlbMessage.INVALIDATE);
    }

    /** As a guest that flushes everything: in two messages of QEMU's, around the window of interrupts. */
    public void invalidateAll() throws IOException {
        long window = 0xfee0_0000L;
        if (!guest.frontend().tellIotlb(new IotlbMessage(0, window, 0, 0, IotlbMessage.INVALIDATE))
                || !guest.frontend()
                        .tellIotlb(new IotlbMessage(
                                window + 0x10_0000, -(window + 0x10_0000) - 1, 0, 0, IotlbMessage.INVALIDATE))) {
            throw new AssertionError("an invalidation was refused");
        }
    }

    /** Tells the back end of a page, asked or not. */
    public boolean update(long address) throws IOException {
        int page = page(address);
        return guest.frontend()
                .tellIotlb(new IotlbMessage(
                        IOVA_BASE + (long) page * PAGE,
                        PAGE,
                        userAddress(page),
                        permissions[page],
                        IotlbMessage.UPDATE));
    }

    /** Takes one message in, which is there or comes. */
    public IotlbMessage serveOne() throws IOException {
        if (messages.next() != BackendRequest.IOTLB_MSG) {
            throw new AssertionError("a message that has nothing to do with the IOMMU");
        }
        boolean needsReply = messages.needsReply();
        IotlbMessage message = IotlbMessage.decode(messages.payload());
        if (message.type() == IotlbMessage.ACCESS_FAIL) {
            accessFailCount++;
            return message;
        }
        if (message.type() != IotlbMessage.MISS) {
            throw new AssertionError("the back end sends " + message);
        }
        missCount++;
        boolean known = tell(message);
        if (!known) {
            refusedCount++;
        }
        if (needsReply) {
            messages.acknowledge(BackendRequest.IOTLB_MSG, known ? 0 : 1);
        }
        return message;
    }

    private boolean tell(IotlbMessage miss) throws IOException {
        long page = (miss.iova() - IOVA_BASE) / PAGE;
        if (miss.iova() < IOVA_BASE || page >= PAGES) {
            return false;
        }
        int missing = miss.permission() & ~permissions[(int) page];
        return missing == 0 && update(viewAddress + page * PAGE);
    }

    /** Takes a miss in and leaves it at that. */
    public void takeUnanswered() throws IOException {
        if (messages.next() != BackendRequest.IOTLB_MSG
                || IotlbMessage.decode(messages.payload()).type() != IotlbMessage.MISS) {
            throw new AssertionError("that was no miss");
        }
    }

    /** Answers so many of them: nothing is there. */
    public void refuse(int count) throws IOException {
        for (int i = 0; i < count; i++) {
            messages.acknowledge(BackendRequest.IOTLB_MSG, 1);
        }
    }

    public boolean isAsked() {
        return messages.hasNext();
    }

    /** Answers misses until the request is done. */
    public GuestRequest await(GuestQueue queue, GuestRequest request) throws IOException {
        while (queue.poll() != request) {
            serveOrWait(queue.callFd(), queue.ring().requestInterrupt(), false);
        }
        return request;
    }

    public GuestRequest run(GuestQueue queue, GuestRequest request) throws IOException {
        return await(queue, queue.submit(request));
    }

    /** Answers misses until the queue says that it is broken. */
    public void awaitBroken(GuestQueue queue) throws IOException {
        while (!queue.isErrorSignalled()) {
            serveOrWait(queue.errFd(), false, true);
        }
    }

    private void serveOrWait(int fd, boolean isReady, boolean isErrFd) throws IOException {
        if (isAsked()) {
            serveOne();
        } else if (!isReady) {
            messages.awaitNextOr(fd);
            if (!isAsked() && !isErrFd) {
                EventFd.drain(fd);
            }
        }
    }

    /** How many pages the back end has asked for. */
    public int missCount() {
        return missCount;
    }

    /** How many of them it may not use. */
    public int refusedCount() {
        return refusedCount;
    }

    public int accessFailCount() {
        return accessFailCount;
    }

    @Override
    public void close() {
        messages.close();
        SharedMapping.unmap(viewAddress, VIEW_BYTES);
    }
}
