// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import dev.vublk.blockdev.codec.BlockDecoder;

/** Decompresses. Belongs to one thread. */
final class DecodeWork implements BlockWork {
    private final BlockDecoder decoder;

    DecodeWork(BlockDecoder decoder) {
        this.decoder = decoder;
    }

    @Override
    public void process(CodecBlock block) {
        int decoded = decoder.decode(
                block.input(), block.inputOffset(), block.inputBytes(), block.output(), block.expectedBytes());
        block.outcome = decoded < 0 ? CodecBlock.Outcome.CORRUPT : CodecBlock.Outcome.DECODED;
        block.outputBytes = Math.max(0, decoded);
    }

    @Override
    public void processBusy(CodecBlock block) {
        throw new IllegalStateException("a compressed block has no other form");
    }

    @Override
    public void close() {
        decoder.close();
    }
}
