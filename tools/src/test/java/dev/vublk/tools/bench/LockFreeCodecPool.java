// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.worker.compress.BusyPolicy;
import dev.vublk.emulator.worker.compress.CodecBlock;
import dev.vublk.emulator.worker.compress.CodecEngine;
import dev.vublk.emulator.worker.compress.CodecSettings;
import java.util.List;

/** The project's engine. One thread. */
final class LockFreeCodecPool implements CodecPool {
    private final CodecEngine engine;
    private long outputBytes;

    LockFreeCodecPool(BlockCodec codec, int level, int threads, int blockBytes, boolean waits) {
        engine = CodecEngine.encoding(CodecSettings.of(codec, threads, blockBytes)
                .withLevel(level)
                .withBusyPolicy(waits ? BusyPolicy.WAIT : BusyPolicy.STORE));
    }

    @Override
    public void submit(long address, int lengthBytes) {
        CodecBlock block = engine.tryAcquire();
        while (block == null) {
            onResult(requireNonNull(engine.take(), "no block is free and none is under way"));
            block = engine.tryAcquire();
        }
        NativeMemory.copy(address, block.input().address(), lengthBytes);
        block.setInput(lengthBytes);
        engine.submit(block);
        for (CodecBlock result = engine.poll(); result != null; result = engine.poll()) {
            onResult(result);
        }
    }

    private void onResult(CodecBlock block) {
        outputBytes += block.resultBytes();
        engine.release(block);
    }

    @Override
    public void finish() {
        for (CodecBlock block = engine.take(); block != null; block = engine.take()) {
            onResult(block);
        }
    }

    @Override
    public long outputBytes() {
        return outputBytes;
    }

    @Override
    public long busyBlocks() {
        return engine.stats().busyBlocks();
    }

    @Override
    public List<Thread> threads() {
        return engine.threads();
    }

    @Override
    public void close() {
        engine.close();
    }
}
