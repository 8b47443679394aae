// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** A file of a {@link FaultyDirectory}, in memory: bytes, and pages of zeroes that count as holes. Guarded by its directory. */
final class MemoryFile {
    private static final int PAGE_BYTES = 4096;
    private static final int SECTOR_BYTES = 512;

    private static final byte[] ZEROES = new byte[PAGE_BYTES];

    final long node;
    String name;
    int mode;
    int linkCount = 1;
    /** Nanoseconds. */
    long changed = System.currentTimeMillis() * 1_000_000;

    private byte[] bytes = new byte[0];
    private int size;

    MemoryFile(long node, String name, int mode) {
        this.node = node;
        this.name = name;
        this.mode = mode;
    }

    int size() {
        return size;
    }

    byte[] content() {
        return Arrays.copyOf(bytes, size);
    }

    void setSize(long newSize) {
        int wanted = Math.toIntExact(newSize);
        if (wanted > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(wanted, 2 * bytes.length));
        }
        if (wanted < size) {
            Arrays.fill(bytes, wanted, size, (byte) 0);
        }
        size = wanted;
        changed++;
    }

    void read(long offset, int length, ByteBuffer into) {
        if (offset < size) {
            into.put(bytes, (int) offset, (int) Math.min(length, size - offset));
        }
    }

    void write(long offset, ByteBuffer data) {
        if (offset + data.remaining() > size) {
            setSize(offset + data.remaining());
        }
        data.get(bytes, (int) offset, data.remaining());
        changed++;
    }

    void zero(long offset, long length) {
        Arrays.fill(bytes, (int) Math.min(offset, size), (int) Math.min(offset + length, size), (byte) 0);
        changed++;
    }

    /** Sectors that are no holes. */
    long blocks() {
        long count = 0;
        for (int at = 0; at < size; at += PAGE_BYTES) {
            count += isHole(at) ? 0 : PAGE_BYTES / SECTOR_BYTES;
        }
        return count;
    }

    /** The first byte from an offset on that is in a hole, or is in none; the size where there is none. */
    long seek(long offset, boolean hole) {
        long at = offset;
        while (at < size && isHole(at) != hole) {
            at = (at / PAGE_BYTES + 1) * PAGE_BYTES;
        }
        return Math.min(at, size);
    }

    private boolean isHole(long offset) {
        int start = (int) (offset / PAGE_BYTES * PAGE_BYTES);
        int length = Math.min(size - start, PAGE_BYTES);
        return Arrays.equals(bytes, start, start + length, ZEROES, 0, length);
    }
}
