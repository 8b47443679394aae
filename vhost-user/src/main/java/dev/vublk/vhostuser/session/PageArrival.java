// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.memory.GuestMemory;
import java.util.stream.LongStream;

/**
 * Some pages of a migrating guest that are touched, one after the other, until they are there. Made and ended on the control
 * loop; what waits is a thread of its own.
 */
final class PageArrival {
    private static final int PAGE_BYTES = SharedMapping.PAGE_SIZE_BYTES;
    private static final long NOTHING = -1;

    private final int userFaultFd;
    private final long[] hostPages;
    private final boolean[] come;
    private final int endFd = EventFd.create();
    private final Thread thread;

    /** The page that is being touched. Guarded by this. */
    private long touched = NOTHING;

    /** Guarded by this. */
    private boolean givenUp;

    private boolean closed;

    /** @param hostPages an address in each page, or {@link GuestMemory#UNMAPPED} */
    PageArrival(int userFaultFd, long... hostPages) {
        this.userFaultFd = userFaultFd;
        this.hostPages = hostPages;
        come = new boolean[hostPages.length];
        thread = Thread.ofPlatform().daemon().name("postcopy").unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    private void run() {
        for (int i = 0; i < hostPages.length; i++) {
            long page = hostPages[i];
            if (page != GuestMemory.UNMAPPED && begins(page & -PAGE_BYTES)) {
                int result = touch(page & -PAGE_BYTES);
                ends(i, result == 0);
            }
        }
        EventFd.signal(endFd);
    }

    private static int touch(long page) {
        int result;
        do {
            result = UserFault.touch(page, PAGE_BYTES);
        } while (result == -Errno.EINTR || result == -Errno.EAGAIN);
        return result;
    }

    private synchronized boolean begins(long page) {
        if (givenUp) {
            return false;
        }
        touched = page;
        return true;
    }

    private synchronized void ends(int index, boolean isThere) {
        touched = NOTHING;
        come[index] = isThere && !givenUp;
    }

    /**
     * Lets the thread end, whatever the front end does, if it has to do with a mapping that is about to be unmapped. The page
     * that it waits for is taken from under it: were it only woken, it would put an empty page into the guest's memory, where the
     * right one may still come.
     */
    synchronized void giveUp(FileMapping going) {
        givenUp |= LongStream.of(hostPages).anyMatch(page -> isIn(going, page));
        if (givenUp && isIn(going, touched)) {
            SharedMapping.cover(touched, PAGE_BYTES);
            UserFault.wake(userFaultFd, touched, PAGE_BYTES);
        }
    }

    private static boolean isIn(FileMapping mapping, long address) {
        long offset = address - mapping.mapAddress();
        return address != NOTHING && offset >= 0 && offset < mapping.mapLengthBytes();
    }

    /** Whether what it has touched means nothing any more. */
    synchronized boolean isGivenUp() {
        return givenUp;
    }

    /** Becomes readable when the thread has done all that it will do. */
    int endFd() {
        return endFd;
    }

    /** Waits until the thread has ended, which it soon does. */
    void join() {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** After the end. */
    void close() {
        join();
        if (!closed) {
            closed = true;
            EventFd.close(endFd);
        }
    }

    /** Whether that page is there. After the end. */
    synchronized boolean hasCome(int index) {
        return come[index];
    }
}
