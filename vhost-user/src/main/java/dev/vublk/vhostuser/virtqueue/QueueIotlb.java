// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.memory.IovaMap;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How one queue translates the addresses in its descriptors when the guest's IOMMU stands between. Runs on its IOThread.
 *
 * <p>A chain is walked with one snapshot of the table. What is not in it is noted, up to a bound, and the walk goes on, so that
 * everything missing is asked for at once; the chain stays in the ring meanwhile. When the answers are there it is walked again.
 * What was refused then makes the chain a faulty one.
 */
final class QueueIotlb {
    /** Translations asked for at once by a queue. Arbitrary; a read of 256 KiB in scattered pages needs as many. */
    static final int MISSES_MAX = 64;

    /** Who changes a chain while it is walked again and again gets to know no more refusals than about that many. Arbitrary. */
    private static final int REFUSED_MAX = 4 * MISSES_MAX;

    private static final long[] NONE = {};

    private final Iotlb shared;
    private final int tableBytesMax;
    private IovaMap map = IovaMap.EMPTY;

    /** Pages and, in the lowest bits, what for. */
    private final long[] misses = new long[MISSES_MAX];

    private int missCount;
    private long[] refused = NONE;
    /** Something in the chain is refused: of the rest only the last writable byte matters, where a device answers. */
    private boolean faulty;

    private boolean hasEnd;
    private long endIova;
    private long writableBytes;

    /** An indirect table that does not lie in one piece here is copied to here. */
    private @Nullable MemorySegment table;

    QueueIotlb(Iotlb shared, int chainLengthMax) {
        this.shared = shared;
        tableBytesMax = chainLengthMax * VirtqueueLayout.DESC_BYTES;
    }

    /** A walk begins. */
    void begin(DescriptorChain chain) {
        map = shared.map();
        missCount = 0;
        faulty = false;
        hasEnd = false;
        writableBytes = 0;
        chain.forgetIovas();
    }

    /** Adds a buffer as far as it is translated; returns false when the chain gets too long. */
    boolean add(DescriptorChain chain, long iova, long lengthBytes, boolean writable) {
        if (lengthBytes == 0) {
            return true;
        }
        if (!chain.noteIova(iova, lengthBytes)) {
            return false;
        }
        boolean wraps = Long.compareUnsigned(iova + lengthBytes - 1, iova) < 0;
        if (writable) {
            hasEnd = !wraps;
            endIova = iova + lengthBytes - 1;
            writableBytes += lengthBytes;
        }
        faulty |= wraps; // Round the end of the address space: no page is there to be asked for.
        return faulty || addPieces(chain, iova, lengthBytes, writable);
    }

    private boolean addPieces(DescriptorChain chain, long iova, long lengthBytes, boolean writable) {
        int permission = writable ? IotlbMessage.WO : IotlbMessage.RO;
        long at = iova;
        long left = lengthBytes;
        while (left > 0 && missCount < MISSES_MAX) {
            int mapping = map.find(at, permission);
            long piece;
            if (mapping == IovaMap.UNMAPPED) {
                piece = Math.min(left, Iotlb.PAGE_BYTES - (at & (Iotlb.PAGE_BYTES - 1)));
                if (isRefused(at, permission)) {
                    faulty = true;
                    return true;
                }
                miss(at, permission);
            } else {
                piece = Math.min(left, map.bytesFrom(mapping, at));
                if (!chain.addPiece(map.hostAddress(mapping, at), piece, writable)) {
                    return false;
                }
            }
            at += piece;
            left -= piece;
        }
        return true;
    }

    /** Where an indirect table can be read, or {@link GuestMemory#UNMAPPED}: missing or refused. Its length was checked. */
    long table(long iova, long lengthBytes) {
        if (Long.compareUnsigned(iova + lengthBytes - 1, iova) < 0) {
            return GuestMemory.UNMAPPED;
        }
        int mapping = map.find(iova, IotlbMessage.RO);
        if (mapping != IovaMap.UNMAPPED && lengthBytes <= map.bytesFrom(mapping, iova)) {
            return map.hostAddress(mapping, iova);
        }
        return gather(iova, lengthBytes) ? scratch().address() : GuestMemory.UNMAPPED;
    }

    private boolean gather(long iova, long lengthBytes) {
        boolean complete = true;
        long done = 0;
        while (done < lengthBytes && missCount < MISSES_MAX) {
            long at = iova + done;
            long left = lengthBytes - done;
            int mapping = map.find(at, IotlbMessage.RO);
            long piece;
            if (mapping == IovaMap.UNMAPPED) {
                complete = false;
                piece = Math.min(left, Iotlb.PAGE_BYTES - (at & (Iotlb.PAGE_BYTES - 1)));
                if (!isRefused(at, IotlbMessage.RO)) {
                    miss(at, IotlbMessage.RO);
                }
            } else {
                piece = Math.min(left, map.bytesFrom(mapping, at));
                HostMemory.copy(map.hostAddress(mapping, at), scratch().address() + done, piece);
            }
            done += piece;
        }
        return complete;
    }

    private MemorySegment scratch() {
        MemorySegment present = table;
        if (present == null) {
            present = Arena.ofAuto().allocate(tableBytesMax, VirtqueueLayout.DESC_BYTES);
            table = present;
        }
        return present;
    }

    private void miss(long iova, int permission) {
        long miss = encode(iova, permission);
        for (int i = 0; i < missCount; i++) {
            if (misses[i] == miss) {
                return;
            }
        }
        misses[missCount++] = miss;
    }

    private boolean isRefused(long iova, int permission) {
        long miss = encode(iova, permission);
        for (long each : refused) {
            if (each == miss) {
                return true;
            }
        }
        return false;
    }

    private static long encode(long iova, int permission) {
        return IovaMiss.encode(iova & -Iotlb.PAGE_BYTES, permission);
    }

    /** Whether something has to be asked for before the chain can be taken. */
    boolean isMissing() {
        return missCount > 0;
    }

    /** The walk is over. Returns {@link Virtqueue#UNTRANSLATED}, or {@link Virtqueue#POPPED}: the chain can be taken. */
    int end(DescriptorChain chain) {
        if (faulty) {
            return endFaulty(chain);
        }
        if (missCount > 0) {
            return Virtqueue.UNTRANSLATED;
        }
        refused = NONE; // Next time it may be mapped.
        return Virtqueue.POPPED;
    }

    private int endFaulty(DescriptorChain chain) {
        missCount = 0;
        int mapping = hasEnd ? map.find(endIova, IotlbMessage.WO) : IovaMap.UNMAPPED;
        if (mapping != IovaMap.UNMAPPED) {
            chain.fault(map.hostAddress(mapping, endIova), writableBytes);
        } else if (hasEnd && !isRefused(endIova, IotlbMessage.WO) && refused.length < REFUSED_MAX) {
            miss(endIova, IotlbMessage.WO);
            return Virtqueue.UNTRANSLATED;
        } else {
            chain.fault(GuestMemory.UNMAPPED, 0);
        }
        refused = NONE;
        return Virtqueue.POPPED;
    }

    /** What the last walk missed. */
    long[] misses() {
        return Arrays.copyOf(misses, missCount);
    }

    /** What of it the IOMMU refuses; the walks of this chain believe that. */
    void refused(long... more) {
        long[] all = Arrays.copyOf(refused, refused.length + more.length);
        System.arraycopy(more, 0, all, refused.length, more.length);
        refused = all;
    }
}
