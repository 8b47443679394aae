// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.MappedMemory;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.InflightBlock;
import dev.vublk.vhostuser.virtqueue.InflightRegion;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A virtqueue by itself on memory that holds anything, changes between two calls, and changes between two reads within one.
 *
 * <p>After each call the memory is compared with what it was: the device has written its own part of the ring and nothing
 * else, and exactly what the call stands for.
 */
final class FuzzedRing implements AccessGuard.ReadListener {
    private static final int STEPS_MAX = 300;
    private static final long GUEST_ADDRESS = 0x1000;
    private static final int MAIN_BYTES = 0x1000;

    /** Adjoins for the guest, not in this process; ends in the middle of a page. */
    private static final int BEHIND_BYTES = 0x300;

    private static final int DESC = 0;
    private static final int AVAIL = 0x200;
    private static final int USED = 0x400;
    private static final int SIZE_MAX = 16;

    private static final FrontendMemory MAIN = memory(GUEST_ADDRESS, MAIN_BYTES);
    private static final FrontendMemory BEHIND = memory(GUEST_ADDRESS + MAIN_BYTES, BEHIND_BYTES);
    private static final int INFLIGHT_FD = SharedMapping.createMemoryFile("vublk-inflight", 4096);
    private static final long INFLIGHT = SharedMapping.map(INFLIGHT_FD, 0, 4096);

    static {
        DescriptorCount.growsOnce();
    }

    private final InputBytes input;
    private final boolean packed;
    private final Virtqueue queue;
    private final int size;
    private final List<DescriptorChain> taken = new ArrayList<>();
    private final List<DescriptorChain> free = new ArrayList<>();
    private final byte[] before = new byte[MAIN_BYTES];
    private final byte[] after = new byte[MAIN_BYTES];
    private int availIdx;
    private int usedIdx;
    private int readsUntilChange;
    private int changedAt;
    private byte[] change = new byte[0];
    private int changeCount;

    private FuzzedRing(InputBytes input, boolean packed, Virtqueue queue, int base, Arena arena) {
        this.input = input;
        this.packed = packed;
        this.queue = queue;
        size = queue.size();
        for (int i = 0; i <= size; i++) {
            free.add(new DescriptorChain(arena, Virtqueue.chainLengthMax(size)));
        }
        availIdx = base;
        usedIdx = HostMemory.getU16(MAIN.hostAddress() + USED + 2);
    }

    /** A guest's memory, for as long as the process lives. */
    static FrontendMemory memory(long guestAddress, int bytes) {
        try {
            return FrontendMemory.create(guestAddress, bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static void run(byte[] bytes, boolean packed) {
        InputBytes input = new InputBytes(bytes);
        AccessGuard guard = AccessGuard.INSTANCE;
        guard.begin();
        try (Arena arena = Arena.ofConfined();
                MappedMemory memory = MappedMemory.map(
                        new MemoryTable(List.of(MAIN.description(), BEHIND.description())),
                        i -> i == 0 ? MAIN.fd() : BEHIND.fd())) {
            run(input, packed, memory.snapshot(), arena);
        } catch (VhostUserProtocolException refused) {
            throw new AssertionError(refused);
        } finally {
            guard.end();
        }
    }

    private static void run(InputBytes input, boolean packed, GuestMemory memory, Arena arena)
            throws VhostUserProtocolException {
        int choices = input.u8();
        int size = packed ? 1 + input.choice(SIZE_MAX) : 1 << input.choice(5);
        fill(input, MAIN.hostAddress(), USED + 0x100);
        int base = packed ? packedBase(input, size) : input.u16();
        InflightRegion region = null;
        if (!packed && (choices & 1) != 0) {
            fill(input, INFLIGHT, 512);
            region = InflightRegion.map(new InflightDescription(4096, 0, 1, SIZE_MAX), INFLIGHT_FD, false);
        }
        try {
            int used = HostMemory.getU16(MAIN.hostAddress() + USED + 2);
            Virtqueue queue = Virtqueue.of(setup(choices, packed, size, base, memory, region));
            boolean recovers = region != null;
            FuzzedRing ring = new FuzzedRing(input, packed, queue, recovers ? queue.base() : base, arena);
            if (recovers && !queue.isBroken() && ((queue.base() - used) & 0xffff) > size) {
                throw new AssertionError("recovered more requests than the ring has descriptors");
            }
            AccessGuard.INSTANCE.listen(ring);
            ring.run();
        } finally {
            if (region != null) {
                region.close();
            }
        }
    }

    private static VirtqueueSetup setup(
            int choices, boolean packed, int size, int base, GuestMemory memory, @Nullable InflightRegion region)
            throws VhostUserProtocolException {
        long ring = memory.translate(GUEST_ADDRESS, MAIN_BYTES);
        long features = VirtioFeature.VIRTIO_F_VERSION_1
                | ((choices & 2) != 0 ? VirtioFeature.VIRTIO_F_EVENT_IDX : 0)
                | ((choices & 4) != 0 ? 0 : VirtioFeature.VIRTIO_F_INDIRECT_DESC)
                | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0);
        InflightBlock block = region == null ? null : region.block(0, size, packed, false);
        return new VirtqueueSetup(
                0,
                size,
                base,
                ring + DESC,
                ring + AVAIL,
                ring + USED,
                features,
                -1,
                -1,
                -1,
                true,
                memory,
                block,
                null,
                null);
    }

    private static int packedBase(InputBytes input, int size) throws VhostUserProtocolException {
        PackedRingBase base = PackedRingBase.decode(input.i32());
        return base.fits(size) ? base.encode() : PackedRingBase.INITIAL.encode();
    }

    private static void fill(InputBytes input, long address, int bytes) {
        HostMemory.fill(address, bytes, (byte) 0);
        // As pieces, so that the interesting ones are near the start of the input.
        for (int left = input.choice(24); left > 0; left--) {
            int at = input.u16() % (bytes - 16);
            byte[] piece = input.take(1 + (input.u8() & 15));
            HostMemory.copyIn(piece, 0, address + at, piece.length);
        }
    }

    private void run() {
        for (int steps = 0; steps < STEPS_MAX && !input.isEmpty(); steps++) {
            switch (input.choice(12)) {
                case 0, 1, 2 -> pop();
                case 3, 4 -> push();
                case 5 -> publish();
                case 6 -> onlyDevicePart("suppressKicks", queue::suppressKicks);
                case 7 -> onlyDevicePart("requestKicks", queue::requestKicks);
                case 8 -> onlyDevicePart("hasAvailable", queue::hasAvailable);
                case 9 -> {
                    readsUntilChange = 1 + (input.u8() & 31);
                    changedAt = input.u16() % (MAIN_BYTES - 16);
                    change = input.take(1 + (input.u8() & 15));
                }
                default -> {
                    int at = input.u16() % (MAIN_BYTES - 16);
                    byte[] poked = input.take(1 + (input.u8() & 15));
                    HostMemory.copyIn(poked, 0, MAIN.hostAddress() + at, poked.length);
                }
            }
            AccessGuard.INSTANCE.check();
        }
    }

    @Override
    public void beforeRead() {
        if (readsUntilChange > 0 && --readsUntilChange == 0) {
            HostMemory.copyIn(change, 0, MAIN.hostAddress() + changedAt, change.length);
            // Not the device's doing.
            System.arraycopy(change, 0, before, changedAt, change.length);
            changeCount++;
        }
    }

    private int availEntry() {
        return HostMemory.getU16(MAIN.hostAddress() + AVAIL + 4 + 2L * (availIdx & (size - 1)));
    }

    private void pop() {
        if (free.size() <= 1) {
            return; // As the device: it takes no more than the ring has descriptors.
        }
        DescriptorChain chain = free.getLast();
        boolean wasBroken = queue.isBroken();
        boolean recovers = queue.hasRecovered();
        int entryBefore = availEntry();
        HostMemory.copyOut(MAIN.hostAddress(), before, 0, MAIN_BYTES);
        int result = queue.pop(chain);
        requireUnchangedOutside("pop", 0, 0, 0, 0);
        if (queue.isBroken() != (result == Virtqueue.BROKEN) || (wasBroken && result != Virtqueue.BROKEN)) {
            throw new AssertionError("pop gave " + result + ", broken " + queue.isBroken());
        }
        if (result != Virtqueue.POPPED) {
            return;
        }
        if (!packed && !recovers) {
            if (chain.headIndex() != entryBefore && chain.headIndex() != availEntry()) {
                throw new AssertionError("head " + chain.headIndex() + " was never offered");
            }
            availIdx++;
            if (queue.base() != (availIdx & 0xffff)) {
                throw new AssertionError("base " + queue.base() + " instead of " + availIdx);
            }
        }
        checkChain(chain);
        free.removeLast();
        taken.add(chain);
    }

    private static void checkChain(DescriptorChain chain) {
        IoVectors buffers = chain.buffers();
        long readable = 0;
        long writable = 0;
        for (int i = 0; i < buffers.count(); i++) {
            AccessGuard.INSTANCE.onTransfer("buffer", buffers.base(i), buffers.length(i));
            if (i < chain.readableCount()) {
                readable += buffers.length(i);
            } else {
                writable += buffers.length(i);
            }
        }
        if (readable != chain.readableBytes() || writable != chain.writableBytes() || readable + writable > 1L << 32) {
            throw new AssertionError("a chain of " + readable + " and " + writable + " bytes");
        }
    }

    private void push() {
        if (taken.isEmpty() || queue.isBroken()) {
            return; // As the device: a broken ring gets nothing more written.
        }
        DescriptorChain chain = taken.remove(input.choice(taken.size()));
        int written = (int) Math.min(chain.writableBytes(), input.u16());
        int position = PackedRingBase.decode(queue.base()).usedPosition();
        boolean heldBack = packed && !queue.hasUnpublished();
        onlyDevicePart("pushUsed", () -> queue.pushUsed(chain, written));
        free.add(chain);
        if (!packed) {
            long element = HostMemory.getLong(MAIN.hostAddress() + USED + 4 + 8L * (usedIdx++ & (size - 1)));
            requireElement(element, (chain.headIndex() & 0xffffffffL) | (long) written << 32);
        } else if (!heldBack) {
            long half = HostMemory.getLong(MAIN.hostAddress() + DESC + 16L * position + 8);
            requireElement(half & 0xffff_ffff_ffffL, (long) chain.headIndex() << 32 | written);
        }
    }

    private static void requireElement(long found, long expected) {
        if (found != expected) {
            throw new AssertionError(
                    "used element 0x" + Long.toHexString(found) + " instead of 0x" + Long.toHexString(expected));
        }
    }

    private void publish() {
        if (queue.isBroken()) {
            return;
        }
        boolean shows = queue.hasUnpublished();
        int changes = changeCount;
        onlyDevicePart("publishUsed", queue::publishUsed);
        // The queue reads used_event after it has written the index: by then the guest may have written there, too.
        boolean isOurs = !packed && shows && changes == changeCount;
        if (isOurs && HostMemory.getU16(MAIN.hostAddress() + USED + 2) != (usedIdx & 0xffff)) {
            throw new AssertionError("used index is not " + usedIdx);
        }
        if (queue.hasUnpublished()) {
            throw new AssertionError("something is left to be published");
        }
    }

    private void onlyDevicePart(String call, Runnable action) {
        HostMemory.copyOut(MAIN.hostAddress(), before, 0, MAIN_BYTES);
        action.run();
        if (packed) {
            requireUnchangedOutside(call, DESC, DESC + 16 * size, USED, USED + 4);
        } else {
            requireUnchangedOutside(call, USED, USED + 6 + 8 * size, 0, 0);
        }
    }

    private void requireUnchangedOutside(String call, int from, int to, int alsoFrom, int alsoTo) {
        HostMemory.copyOut(MAIN.hostAddress(), after, 0, MAIN_BYTES);
        Arrays.fill(before, from, to, (byte) 0);
        Arrays.fill(after, from, to, (byte) 0);
        Arrays.fill(before, alsoFrom, alsoTo, (byte) 0);
        Arrays.fill(after, alsoFrom, alsoTo, (byte) 0);
        int at = Arrays.mismatch(before, after);
        if (at >= 0) {
            throw new AssertionError(call + " has written at 0x" + Integer.toHexString(at));
        }
    }
}
