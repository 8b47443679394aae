// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;

/** What a copy writes. Thread-safe: several threads write pieces of the disk at a time, never the same one. */
interface ImageTarget extends AutoCloseable {
    /** Unit of the target's own bookkeeping: a cluster, or a block. Pieces begin at multiples of it. */
    int unitBytes();

    /**
     * Takes over one piece of the disk.
     *
     * @throws IOException it cannot be written: one line for the user
     */
    void write(Chunk chunk) throws IOException;

    /** Some piece will never be written: lets go whoever waits for it. Any thread. */
    default void giveUp() {}

    /**
     * Every piece has been written: what is still missing of the image is written too. Called once, by one thread.
     *
     * @param sizeBytes the disk's size
     */
    void finish(long sizeBytes) throws IOException;

    /** Gives memory and descriptors back; the image is whole only after {@link #finish}. */
    @Override
    void close();
}
