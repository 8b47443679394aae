// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.protocol.IotlbMessage;

/**
 * An immutable snapshot of what is known of the guest's IOMMU: I/O virtual addresses to host addresses, with what the device
 * may do there. A changed table is a new snapshot. Any thread.
 *
 * <p>Mappings are sorted by address (unsigned) and apart from each other. Neighbours that adjoin everywhere become one: an IOMMU
 * tells of pages, and a guest has many of them side by side.
 */
public final class IovaMap {
    /** Nothing is known. */
    public static final IovaMap EMPTY = new IovaMap(0);

    /** No mapping, or not for what is asked. */
    public static final int UNMAPPED = -1;

    private final long[] firsts;
    private final long[] lasts;
    private final long[] users;
    private final long[] hosts;
    private final byte[] permissions;
    private int count;

    private IovaMap(int capacity) {
        firsts = new long[capacity];
        lasts = new long[capacity];
        users = new long[capacity];
        hosts = new long[capacity];
        permissions = new byte[capacity];
    }

    public int count() {
        return count;
    }

    /** The mapping that lets the device use {@code iova} so, or {@link #UNMAPPED}. */
    public int find(long iova, int permission) {
        int low = 0;
        int high = count;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (Long.compareUnsigned(firsts[middle], iova) <= 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        int found = low - 1;
        return found >= 0
                        && Long.compareUnsigned(iova, lasts[found]) <= 0
                        && (permissions[found] & permission) == permission
                ? found
                : UNMAPPED;
    }

    /** Where {@code iova} lies, which {@link #find} has found in that mapping. */
    public long hostAddress(int mapping, long iova) {
        return hosts[mapping] + (iova - firsts[mapping]);
    }

    /** How many bytes from {@code iova} on lie in that mapping. */
    public long bytesFrom(int mapping, long iova) {
        // A mapping lies in a region of memory, so it is no longer than a positive long.
        return lasts[mapping] - iova + 1;
    }

    /** Whether the device may use the whole range so. */
    public boolean covers(long first, long last, int permission) {
        long at = first;
        while (true) {
            int mapping = find(at, permission);
            if (mapping == UNMAPPED) {
                return false;
            }
            if (Long.compareUnsigned(last, lasts[mapping]) <= 0) {
                return true;
            }
            at = lasts[mapping] + 1;
        }
    }

    /** The same with one more mapping, in place of whatever overlaps it. */
    IovaMap with(long first, long last, long user, long host, int permission) {
        IovaMap result = new IovaMap(count + 2);
        int from = result.addBefore(this, first);
        result.add(first, last, user, host, permission);
        result.addBehind(this, from, last);
        return result;
    }

    /** The same without anything about the range; a mapping that reaches out of it keeps what is outside. */
    IovaMap without(long first, long last) {
        IovaMap result = new IovaMap(count + 1);
        result.addBehind(this, result.addBefore(this, first), last);
        return result;
    }

    /** The same without one mapping, whichever. */
    IovaMap withoutMapping(int mapping) {
        return without(firsts[mapping], lasts[mapping]);
    }

    /** The same for another table of memory: what no longer lies in a region is gone. */
    IovaMap rebased(GuestMemory memory) {
        IovaMap result = new IovaMap(count);
        for (int i = 0; i < count; i++) {
            long host = memory.translateUser(users[i], lasts[i] - firsts[i] + 1);
            if (host != GuestMemory.UNMAPPED) {
                result.add(firsts[i], lasts[i], users[i], host, permissions[i]);
            }
        }
        return result;
    }

    /** Adds what lies before {@code first}; returns the first mapping that does not do so wholly. */
    private int addBefore(IovaMap other, long first) {
        int i = 0;
        while (i < other.count && Long.compareUnsigned(other.firsts[i], first) < 0) {
            boolean cut = Long.compareUnsigned(other.lasts[i], first) >= 0;
            add(
                    other.firsts[i],
                    cut ? first - 1 : other.lasts[i],
                    other.users[i],
                    other.hosts[i],
                    other.permissions[i]);
            if (cut) {
                return i;
            }
            i++;
        }
        return i;
    }

    /** Adds what lies behind {@code last}, of mappings from {@code from} on. */
    private void addBehind(IovaMap other, int from, long last) {
        for (int i = from; i < other.count; i++) {
            if (Long.compareUnsigned(other.lasts[i], last) <= 0) {
                continue;
            }
            long skipped = Long.compareUnsigned(other.firsts[i], last) <= 0 ? last + 1 - other.firsts[i] : 0;
            add(
                    other.firsts[i] + skipped,
                    other.lasts[i],
                    other.users[i] + skipped,
                    other.hosts[i] + skipped,
                    other.permissions[i]);
        }
    }

    /** Appends a mapping, or makes the one before it longer. */
    private void add(long first, long last, long user, long host, int permission) {
        int before = count - 1;
        if (before >= 0
                && lasts[before] + 1 == first
                && permissions[before] == permission
                && users[before] + (first - firsts[before]) == user
                && hosts[before] + (first - firsts[before]) == host) {
            lasts[before] = last;
            return;
        }
        firsts[count] = first;
        lasts[count] = last;
        users[count] = user;
        hosts[count] = host;
        permissions[count] = (byte) permission;
        count++;
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder("IOVA map");
        for (int i = 0; i < count; i++) {
            text.append(" 0x").append(Long.toHexString(firsts[i])).append("-0x").append(Long.toHexString(lasts[i]));
            text.append((permissions[i] & IotlbMessage.RO) != 0 ? " r" : " -");
            text.append((permissions[i] & IotlbMessage.WO) != 0 ? "w" : "-");
        }
        return text.toString();
    }
}
