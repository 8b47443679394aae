// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

/** What is done with a block; each thread has its own. */
interface BlockWork extends AutoCloseable {
    /** Sets outcome and output. */
    void process(CodecBlock block);

    /** As {@link #process}, where nobody has time for it. */
    void processBusy(CodecBlock block);

    @Override
    void close();
}
