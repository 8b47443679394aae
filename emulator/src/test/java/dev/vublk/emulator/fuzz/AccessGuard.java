// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What must be true whatever the input says: the product touches shared memory only where a front end has shared it and it
 * is still mapped, and every chain that was taken from a ring is given back once. {@link AccessHooks} tells it of each
 * access, mapping and chain; one thread.
 *
 * <p>The first violation is kept and thrown before memory is touched: the product may catch it, {@link #check} tells of it.
 */
final class AccessGuard {
    private static final long PAGE_BYTES = 4096;

    /** There is one: hooks are static. */
    static final AccessGuard INSTANCE = new AccessGuard();

    /** What happens at the moment of a read of shared memory: the guest writes there at the same time. */
    interface ReadListener {
        void beforeRead();
    }

    private record Range(long start, long end) {
        private boolean holds(long address, long length) {
            return address >= start && length <= end - start && address <= end - length;
        }
    }

    private final IdentityHashMap<FileMapping, Range> shared = new IdentityHashMap<>();

    /** Pages of shared memory that are mapped once more, for rings behind an IOMMU. */
    private final Set<Long> aliasPages = new HashSet<>();

    private final TreeMap<Long, Long> ownBlocks = new TreeMap<>();

    /** As {@link #ownBlocks}, but nothing tells when they are freed: at the latest with the input. */
    private final TreeMap<Long, Long> passingBlocks = new TreeMap<>();

    private final IdentityHashMap<Virtqueue, IdentityHashMap<DescriptorChain, Integer>> taken = new IdentityHashMap<>();
    private @Nullable ReadListener readListener;
    private @Nullable AssertionError violation;
    private boolean isOn;
    private long accesses;

    private AccessGuard() {}

    /** From now on {@code listener} hears of every read. */
    void listen(ReadListener listener) {
        readListener = listener;
    }

    /** Begins an input. */
    void begin() {
        taken.clear();
        passingBlocks.clear();
        aliasPages.clear();
        violation = null;
        isOn = true;
    }

    /** Ends an input, after which nothing may be mapped any more, and throws what went wrong in it. */
    void end() {
        int left = shared.size() + aliasPages.size();
        shared.clear();
        taken.clear();
        isOn = false;
        readListener = null;
        check();
        if (left != 0) {
            throw new AssertionError(left + " mappings of shared memory are left");
        }
    }

    void check() {
        AssertionError first = violation;
        if (first != null) {
            violation = null;
            throw first;
        }
    }

    /** How many accesses were looked at: without any the hooks are not there. */
    long accesses() {
        return accesses;
    }

    AssertionError violated(String what) {
        AssertionError error = new AssertionError(what);
        if (violation == null) {
            violation = error;
        }
        return error;
    }

    // ---- memory

    void onMapped(FileMapping mapping, long sizeBytes) {
        if (isOn) {
            shared.put(mapping, new Range(mapping.hostAddress(), mapping.hostAddress() + sizeBytes));
        }
    }

    void onUnmapped(FileMapping mapping) {
        shared.remove(mapping);
    }

    void onAliased(long address, long lengthBytes) {
        if (isOn) {
            for (long page = address; page < address + lengthBytes; page += PAGE_BYTES) {
                aliasPages.add(page);
            }
        }
    }

    void onUnmapped(long address, long lengthBytes) {
        aliasPages.removeIf(page -> page >= address && page < address + lengthBytes);
    }

    void onAllocated(long address, long lengthBytes) {
        ownBlocks.put(address, lengthBytes);
    }

    void onPassingBlock(long address, long lengthBytes) {
        if (isOn) {
            passingBlocks.merge(address, lengthBytes, Math::max);
        }
    }

    void onFreed(long address) {
        ownBlocks.remove(address);
    }

    void onRead(long address, long lengthBytes) {
        if (isOn && !isOwn(passingBlocks, address, lengthBytes)) {
            requireShared("read", address, lengthBytes);
            ReadListener listener = readListener;
            if (listener != null) {
                listener.beforeRead();
            }
        }
    }

    void onWrite(long address, long lengthBytes) {
        if (isOn && !isOwn(passingBlocks, address, lengthBytes)) {
            requireShared("write", address, lengthBytes);
        }
    }

    /** Bits of a dirty log are set a long at a time: the rest of that long is not changed, and lies in the same page. */
    void onOr(long address) {
        if (isOn) {
            accesses++;
            for (Range range : shared.values()) {
                if (address >= (range.start & -Long.BYTES) && address < range.end) {
                    return;
                }
            }
            throw outside("atomic or", address, Long.BYTES);
        }
    }

    private void requireShared(String how, long address, long lengthBytes) {
        accesses++;
        if (!isShared(address, lengthBytes)) {
            throw outside(how, address, lengthBytes);
        }
    }

    private boolean isShared(long address, long lengthBytes) {
        for (Range range : shared.values()) {
            if (range.holds(address, lengthBytes)) {
                return true;
            }
        }
        return lengthBytes > 0 && isAliased(address, lengthBytes);
    }

    private boolean isAliased(long address, long lengthBytes) {
        for (long page = address & -PAGE_BYTES; page < address + lengthBytes; page += PAGE_BYTES) {
            if (!aliasPages.contains(page)) {
                return false;
            }
        }
        return true;
    }

    private AssertionError outside(String how, long address, long lengthBytes) {
        return violated(how + " of " + lengthBytes + " bytes at 0x" + Long.toHexString(address)
                + " outside of shared memory " + shared.values());
    }

    /** Data of a disk goes to shared memory, or to buffers of our own. */
    void onTransfer(String how, long address, long lengthBytes) {
        if (isOn
                && lengthBytes != 0
                && !isOwn(ownBlocks, address, lengthBytes)
                && !isOwn(passingBlocks, address, lengthBytes)) {
            requireShared(how, address, lengthBytes);
        }
    }

    private static boolean isOwn(NavigableMap<Long, Long> blocks, long address, long lengthBytes) {
        Map.Entry<Long, Long> block = blocks.floorEntry(address);
        return block != null && address + lengthBytes <= block.getKey() + block.getValue();
    }

    // ---- chains

    void onPopped(Virtqueue queue, DescriptorChain chain) {
        if (isOn
                && taken.computeIfAbsent(queue, any -> new IdentityHashMap<>()).put(chain, chain.headIndex()) != null) {
            throw violated("a chain was taken into a slot in use");
        }
    }

    void onPushed(Virtqueue queue, DescriptorChain chain, int writtenBytes) {
        if (!isOn) {
            return;
        }
        IdentityHashMap<DescriptorChain, Integer> chains = taken.get(queue);
        Integer head = chains == null ? null : chains.remove(chain);
        if (head == null) {
            throw violated("chain " + chain.headIndex() + " was given back twice, or never taken");
        }
        if (head != chain.headIndex()) {
            throw violated("chain " + head + " was given back as " + chain.headIndex());
        }
        if (Integer.toUnsignedLong(writtenBytes) > chain.writableBytes()) {
            throw violated(Integer.toUnsignedLong(writtenBytes) + " bytes written of " + chain.writableBytes());
        }
    }

    /** After the last queue has stopped: what is left was taken from a queue that broke. */
    void checkAllReturned() {
        taken.forEach((queue, chains) -> {
            if (!chains.isEmpty() && !queue.isBroken()) {
                throw violated(chains.size() + " chains were never given back");
            }
        });
    }
}
