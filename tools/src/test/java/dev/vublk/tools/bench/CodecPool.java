// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.List;

/** A design of a pool that compresses, under test. One thread. */
interface CodecPool extends AutoCloseable {
    void submit(long address, int lengthBytes) throws InterruptedException;

    /** Waits for all that was submitted. */
    void finish() throws InterruptedException;

    long outputBytes();

    /** Blocks that went out as they were because no worker was free. */
    long busyBlocks();

    List<Thread> threads();

    @Override
    void close();
}
