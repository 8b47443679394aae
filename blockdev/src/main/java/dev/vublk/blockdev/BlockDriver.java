// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import java.io.IOException;

/**
 * One opened disk, shared by all loops that serve it. Thread-safe.
 *
 * <p>{@link #close} is called once, after every channel has been closed.
 */
public interface BlockDriver extends AutoCloseable {

    /** What this disk can do and wants; constant while the disk is open, except that it may grow ({@link #refreshSize}, {@link #grow}). */
    BlockLimits limits();

    /**
     * Looks again how large the disk is. When it has grown, {@link #limits} says so from now on, and requests may reach the
     * new end. A disk does not shrink under a guest: {@link #limits} stays, and requests beyond what is left fail with
     * {@code -EIO}. Blocking; not called twice at a time, nor after {@link #close}.
     *
     * @return whether it has grown
     * @throws IOException it has shrunk or cannot be measured: one line for the user
     */
    default boolean refreshSize() throws IOException {
        return false; // A disk that is as large as it was said to be.
    }

    /**
     * Makes the disk larger while it is served; the new part reads as zeroes. {@link #limits} says so from then on, and requests may
     * reach the new end. Blocking; not at a time with itself or {@link #refreshSize}, nor after {@link #close}.
     *
     * @param sizeBytes a multiple of the logical block
     * @return whether it has grown; false when it was as large
     * @throws IOException it cannot be made larger, and is as it was: one line for the user
     */
    default boolean grow(long sizeBytes) throws IOException {
        throw new IOException("a disk of this kind cannot be made larger while it is served");
    }

    /** This disk on one loop. Called on any thread, before the first request of that loop. */
    BlockChannel openChannel(IoContext context);

    /**
     * A guest begins to use the disk: takes the image's lock where it is not held yet. Cheap when it is held.
     *
     * @throws BlockOpenException another program holds it: one line for the user
     */
    default void activate() throws BlockOpenException {}

    /** No guest uses the disk any more, and all is flushed: gives the image's lock up until {@link #activate}. */
    default void deactivate() {}

    /** Releases locks and descriptors. Does not flush: who wants stable data flushes first. */
    @Override
    void close();
}
