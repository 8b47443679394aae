// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import dev.vublk.blockdev.codec.BlockEncoder;
import dev.vublk.blockdev.codec.ZeroScan;

/** Compresses; looks for zeroes first, and this is the only place that does. Belongs to one thread. */
final class EncodeWork implements BlockWork {
    private final BlockEncoder encoder;
    private final boolean writesZeroes;

    /** @param writesZeroes whether zeroes must be written in the codec's form as well */
    EncodeWork(BlockEncoder encoder, boolean writesZeroes) {
        this.encoder = encoder;
        this.writesZeroes = writesZeroes;
    }

    @Override
    public void process(CodecBlock block) {
        boolean zero = ZeroScan.isZero(block.input().address(), block.inputBytes());
        if (zero && !writesZeroes) {
            block.outcome = CodecBlock.Outcome.ZERO;
            block.outputBytes = 0;
            return;
        }
        block.outputBytes = encoder.encode(block.input(), block.inputBytes(), block.output());
        if (zero) {
            block.outcome = CodecBlock.Outcome.ZERO;
        } else if (block.outputBytes < 0 || block.outputBytes >= block.inputBytes()) {
            block.outcome = CodecBlock.Outcome.INCOMPRESSIBLE;
        } else {
            block.outcome = CodecBlock.Outcome.COMPRESSED;
        }
    }

    @Override
    public void processBusy(CodecBlock block) {
        if (ZeroScan.isZero(block.input().address(), block.inputBytes())) {
            block.outcome = CodecBlock.Outcome.ZERO;
            block.outputBytes = writesZeroes ? encoder.encode(block.input(), block.inputBytes(), block.output()) : 0;
        } else {
            block.outcome = CodecBlock.Outcome.BUSY;
            block.outputBytes = encoder.store(block.input(), block.inputBytes(), block.output());
        }
    }

    @Override
    public void close() {
        encoder.close();
    }
}
