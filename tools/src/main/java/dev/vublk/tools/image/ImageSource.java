// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;

/**
 * What a copy reads: a disk, of which pieces are handed to whoever asks next. Thread-safe; each reader belongs to one thread.
 */
interface ImageSource extends AutoCloseable {
    /** Size of a source whose end is only found by reading it. */
    long UNKNOWN = -1;

    /** The disk's size, a multiple of 512, or {@link #UNKNOWN} as long as its end has not been read. */
    long sizeBytes();

    /** How large pieces with data are, but for the last one: what a {@link Chunk} must have room for. */
    int chunkBytes();

    /** A reader for one thread. */
    Reader openReader();

    /** Nothing more is wanted: lets go whoever waits for a piece. Any thread. */
    default void giveUp() {}

    /** Closes the source; every reader has been closed before. */
    @Override
    void close();

    /** One thread's way to the source. */
    interface Reader extends AutoCloseable {
        /**
         * Takes the next piece that nobody else has taken. It begins at a multiple of {@link #chunkBytes}.
         *
         * @return false when none is left; then {@code chunk} is undefined
         * @throws IOException it cannot be read: one line for the user
         */
        boolean next(Chunk chunk) throws IOException;

        @Override
        void close();
    }
}
