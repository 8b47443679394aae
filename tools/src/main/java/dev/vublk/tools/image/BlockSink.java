// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.emulator.worker.compress.CodecBlock;
import java.io.IOException;

/** A target that takes compressed blocks. Used by one thread. */
interface BlockSink extends ImageTarget {
    /**
     * How much of a block at the disk's end is compressed: all of it, filled up with zeroes, or what there is.
     *
     * @param dataBytes what there is
     */
    int inputBytes(int dataBytes);

    /** Whether blocks are taken in their order only, zeroes included; otherwise pieces without data go to {@link #write}. */
    boolean isOrdered();

    /** Takes over what has become of the block at {@code block.tag()} on the disk. */
    void write(CodecBlock block) throws IOException;
}
