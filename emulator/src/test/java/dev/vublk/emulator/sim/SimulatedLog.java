// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A live migration as its sender sees it: the dirty log, and a copy of the guest's memory that is kept up to date with what the log
 * says. What the driver may look at is as in the copy, or its page is marked: otherwise the migrated guest would not have it.
 */
final class SimulatedLog implements AutoCloseable {
    private final SimulatedWorld world;
    private final SimulatedMemory memory;
    private final int eventFd = EventFd.create();
    private @Nullable FrontendLog log;

    /** The one before, while it is being replaced: pages may be marked in either. */
    private @Nullable FrontendLog replaced;

    /** Those which nothing may be marked in any more. */
    private final List<FrontendLog> retired = new ArrayList<>();

    private byte @Nullable [] copy;

    SimulatedLog(SimulatedWorld world, SimulatedMemory memory) {
        this.world = world;
        this.memory = memory;
    }

    int eventFd() {
        return eventFd;
    }

    /** Whether the back end has been told to log, and said that it does. */
    boolean isActive() {
        return copy != null;
    }

    FrontendLog current() {
        FrontendLog present = log;
        if (present == null) {
            throw new IllegalStateException("nothing is logged");
        }
        return present;
    }

    /** A new log, to be passed to the back end. The one before, if any, stays valid until {@link #onPassed}. */
    FrontendLog create() throws IOException {
        replaced = log;
        FrontendLog created = FrontendLog.create(
                new LogRegion(SimulatedMemory.logBytes(), world.random.nextInt(3) * 4096L), world.chance(80));
        log = created;
        return created;
    }

    /** The back end has said that it writes to the new log only. */
    void onPassed() {
        FrontendLog old = replaced;
        replaced = null;
        if (old != null) {
            retired.add(old);
            collect(old, current());
        }
    }

    /** The back end has said that it logs everything: all of the memory is copied now. */
    void onActive() {
        copy = memory.copy();
    }

    /** The back end is about to be told that it need not log any more. */
    void suspend() {
        copy = null;
    }

    /** It has said that it does not, or there is none any more. */
    void end() {
        suspend();
        if (log != null) {
            log.clear();
            retired.add(log);
            log = null;
        }
    }

    /** Copies again what has been written. */
    void sync() {
        collect(current());
    }

    private void collect(FrontendLog... logs) {
        boolean isSignalled = EventFd.drain(eventFd) == Long.BYTES;
        byte[] target = copy;
        for (FrontendLog from : logs) {
            for (long page : from.pages()) {
                if (target != null) {
                    int at = SimulatedMemory.offsetInCopy(page);
                    HostMemory.copyOut(memory.table().hostAddress() + at, target, at, SimulatedMemory.PAGE_BYTES);
                }
                if (!isSignalled) {
                    throw world.fail("pages were marked, and the log's descriptor was not signalled");
                }
            }
            from.clear();
        }
    }

    /** What the device may have written there, and the driver is about to look at, is marked or is in the copy. */
    void check(Object what, long driverAddress, long lengthBytes) {
        byte[] target = copy;
        if (target == null) {
            return;
        }
        long done = 0;
        while (done < lengthBytes) {
            long at = driverAddress + done;
            int inPage = (int) (at & (SimulatedMemory.PAGE_BYTES - 1));
            int piece = (int) Math.min(lengthBytes - done, SimulatedMemory.PAGE_BYTES - inPage);
            long page = memory.guestPage(at);
            if (!isMarked(page) && !isCopied(target, SimulatedMemory.offsetInCopy(page) + inPage, at, piece)) {
                throw world.fail(what + ": written, but page " + page + " is not marked");
            }
            done += piece;
        }
    }

    private boolean isMarked(long page) {
        return current().isMarked(page) || (replaced != null && replaced.isMarked(page));
    }

    private static boolean isCopied(byte[] copy, int offset, long address, int count) {
        for (int i = 0; i < count; i++) {
            if (HostMemory.getByte(address + i) != copy[offset + i]) {
                return false;
            }
        }
        return true;
    }

    /** The guest itself has written there, which somebody else notices. */
    void absorb(long driverAddress, long lengthBytes) {
        byte[] target = copy;
        for (long done = 0; target != null && done < lengthBytes; ) {
            long at = driverAddress + done;
            int inPage = (int) (at & (SimulatedMemory.PAGE_BYTES - 1));
            int piece = (int) Math.min(lengthBytes - done, SimulatedMemory.PAGE_BYTES - inPage);
            int offset = SimulatedMemory.offsetInCopy(memory.guestPage(at)) + inPage;
            HostMemory.copyOut(at, target, offset, piece);
            done += piece;
        }
    }

    /** The guest has put another page behind an address, and copied it: again something that somebody else notices. */
    void absorbPage(int page) {
        absorb(memory.driverAddress() + (long) page * SimulatedMemory.PAGE_BYTES, SimulatedMemory.PAGE_BYTES);
    }

    void checkRetired() {
        for (FrontendLog each : retired) {
            if (!each.pages().isEmpty()) {
                throw world.fail("a page was marked in a log that is not in use any more");
            }
            if (!each.isCleanAround()) {
                throw world.fail("something was written beside a log");
            }
            each.close();
        }
        retired.clear();
    }

    @Override
    public void close() {
        end();
        retired.forEach(FrontendLog::close);
        retired.clear();
        FileDescriptor.close(eventFd);
    }
}
