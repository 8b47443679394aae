// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * One opened disk, shared by all loops that serve it. Thread-safe.
 *
 * <p>{@link #close} is called once, after every channel has been closed.
 */
public interface BlockDriver extends AutoCloseable {

    /** What this disk can do and wants; constant while the disk is open (resizing is a later addition). */
    BlockLimits limits();

    /** This disk on one loop. Called on any thread, before the first request of that loop. */
    BlockChannel openChannel(IoContext context);

    /** Releases locks and descriptors. Does not flush: who wants stable data flushes first. */
    @Override
    void close();
}
