// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/**
 * How large a disk is for its guests: one for all sessions of the disk. Grown by the export's owner, read by the control
 * loop (configuration space) and by every IOThread (bounds of each request; a volatile read costs nothing there).
 */
public final class DiskCapacity {
    private volatile long bytes;

    public DiskCapacity(long bytes) {
        this.bytes = bytes;
    }

    public long bytes() {
        return bytes;
    }

    /** The disk itself has that size already: from now on guests may be told of it. */
    public void growTo(long newBytes) {
        if (newBytes < bytes) {
            throw new IllegalArgumentException("a disk in use cannot shrink from " + bytes + " to " + newBytes);
        }
        bytes = newBytes;
    }
}
