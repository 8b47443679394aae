// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import java.io.IOException;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The IOMMU of a simulated guest, and the front end's part in it: tells the back end of pages when it is asked, and sometimes
 * before, and takes them back in the middle of everything. Once the back end has acknowledged that, other pages take their places,
 * and a write to the old ones or data read from them is found.
 */
final class SimulatedIommu implements AutoCloseable {
    /** An address that no page ever lies behind. */
    static final long NOWHERE = SimulatedMemory.IOVA_BASE - 0x100_0000;

    /** QEMU leaves it out when it takes everything back: interrupts are written there. */
    private static final long INTERRUPTS_BEGIN = 0xfee0_0000L;

    private static final long INTERRUPTS_END = INTERRUPTS_BEGIN + 0x10_0000;

    private final SimulatedWorld world;
    private final SimulatedMemory memory;
    private final int[] permissions = new int[SimulatedMemory.PAGES];
    private @Nullable BackendMessages messages;

    SimulatedIommu(SimulatedWorld world, SimulatedMemory memory) {
        this.world = world;
        this.memory = memory;
    }

    /** The channel for a new connection. */
    int openChannel() throws IOException {
        close();
        BackendMessages opened = BackendMessages.open();
        messages = opened;
        return opened.passedFd();
    }

    /** A front end with nothing else to do: may answer a question, or tell of a page that nobody has asked for. */
    void act(VhostUserFrontend frontend) throws IOException {
        if (messages != null && messages.hasNext() && world.chance(40)) {
            serveOne(frontend, messages);
        } else if (world.chance(1)) {
            tell(frontend, world.random.nextInt(SimulatedMemory.PAGES), IotlbMessage.RW);
        }
    }

    private void serveOne(VhostUserFrontend frontend, BackendMessages from) throws IOException {
        BackendRequest request = Objects.requireNonNull(from.next(), "request");
        boolean needsReply = from.needsReply();
        if (request != BackendRequest.IOTLB_MSG) {
            throw world.fail("the back end sends " + request);
        }
        IotlbMessage message = IotlbMessage.decode(from.payload());
        if (message.type() == IotlbMessage.ACCESS_FAIL) {
            return;
        }
        if (message.type() != IotlbMessage.MISS) {
            throw world.fail("the back end sends " + message);
        }
        long page = Math.floorDiv(message.iova() - SimulatedMemory.IOVA_BASE, SimulatedMemory.PAGE_BYTES);
        boolean exists = page >= 0 && page < SimulatedMemory.PAGES;
        if (exists) {
            tell(frontend, (int) page, message.permission());
        }
        if (needsReply) {
            from.acknowledge(BackendRequest.IOTLB_MSG, exists ? 0 : 1);
        }
    }

    private void tell(VhostUserFrontend frontend, int page, int permission) throws IOException {
        permissions[page] |= permission;
        if (!frontend.tellIotlb(new IotlbMessage(
                iova(page),
                SimulatedMemory.PAGE_BYTES,
                memory.userAddress(page),
                permissions[page],
                IotlbMessage.UPDATE))) {
            throw world.fail("a translation was refused");
        }
    }

    private static long iova(int page) {
        return SimulatedMemory.IOVA_BASE + (long) page * SimulatedMemory.PAGE_BYTES;
    }

    /** Takes pages back: one, some side by side, or all. Some of them are others afterwards; returns which. */
    Set<Integer> invalidate(VhostUserFrontend frontend) throws IOException {
        int first = world.random.nextInt(SimulatedMemory.PAGES);
        int last = Math.min(first + (world.chance(50) ? 0 : world.random.nextInt(60)), SimulatedMemory.PAGES - 1);
        if (world.chance(25)) {
            first = 0;
            last = SimulatedMemory.PAGES - 1;
            takeBack(frontend, 0, INTERRUPTS_BEGIN);
            takeBack(frontend, INTERRUPTS_END, -INTERRUPTS_END - 1);
        } else {
            takeBack(frontend, iova(first), (last - first + 1L) * SimulatedMemory.PAGE_BYTES);
        }
        checkNobodyTrespasses();
        Set<Integer> exchanged = somePages(first, last);
        for (int page : exchanged) {
            permissions[page] = 0;
            memory.exchange(page);
        }
        return exchanged;
    }

    private Set<Integer> somePages(int first, int last) {
        Set<Integer> pages = new TreeSet<>();
        for (int left = world.random.nextInt(9); left > 0; left--) {
            pages.add(world.between(first, last));
        }
        return pages;
    }

    private void takeBack(VhostUserFrontend frontend, long iova, long bytes) throws IOException {
        if (!frontend.tellIotlb(new IotlbMessage(iova, bytes, 0, 0, IotlbMessage.INVALIDATE))) {
            throw world.fail("an invalidation was refused");
        }
    }

    void checkNobodyTrespasses() {
        if (!memory.areSparesUntouched()) {
            throw world.fail("a page was written that had been taken back");
        }
    }

    @Override
    public void close() {
        if (messages != null) {
            messages.close();
            messages = null;
        }
    }
}
