// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/**
 * Whether a guest's completed writes are stable at once. Written by the control loop, read by every IOThread: a write
 * that is taken after a change was acknowledged sees it.
 */
final class WriteCache {
    private final boolean initialWriteback;
    private boolean writeback;
    private boolean flushNegotiated;
    private volatile boolean writeThrough;

    WriteCache(boolean initialWriteback) {
        this.initialWriteback = initialWriteback;
        reset();
    }

    /** Back to what the disk was opened with (virtio 1.2 section 5.2.5.2: on reset). */
    void reset() {
        writeback = initialWriteback;
        flushNegotiated = false;
        update();
    }

    /** A driver that cannot flush must find every completed write stable (section 5.2.6.2). */
    void flushNegotiated(boolean negotiated) {
        flushNegotiated = negotiated;
        update();
    }

    void writeback(boolean newWriteback) {
        writeback = newWriteback;
        update();
    }

    boolean isWriteback() {
        return writeback;
    }

    boolean isWriteThrough() {
        return writeThrough;
    }

    private void update() {
        writeThrough = !writeback || !flushNegotiated;
    }
}
