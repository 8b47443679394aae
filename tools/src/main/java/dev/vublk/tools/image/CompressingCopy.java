// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.worker.compress.CodecBlock;
import dev.vublk.emulator.worker.compress.CodecBlock.Outcome;
import dev.vublk.emulator.worker.compress.CodecEngine;
import dev.vublk.emulator.worker.compress.CodecSettings;
import dev.vublk.emulator.worker.compress.CodecStats;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Copies and compresses: one thread reads blocks, hands them to the engine's threads, and writes what comes back. Zeroes are
 * looked for by the engine alone.
 */
final class CompressingCopy extends CopyWork {
    private final BlockSink sink;
    private final CodecSettings settings;
    private volatile @Nullable CodecEngine engine;

    CompressingCopy(
            ImageSource source, BlockSink sink, CopyRules rules, CopyProgress progress, CodecSettings settings) {
        super(source, sink, rules, progress);
        this.sink = sink;
        // An image's clusters too lie closer together, and are read faster, when they are written in order.
        this.settings = settings.withOrdered(true);
    }

    /** What the engine has done; null before it has begun. Any thread. */
    @Nullable
    CodecStats stats() {
        CodecEngine running = engine;
        return running == null ? null : running.stats();
    }

    @Override
    void copyAll() {
        try (CodecEngine running = CodecEngine.encoding(settings);
                ImageSource.Reader reader = source.openReader();
                PieceFilter filter = rules.openFilter()) {
            engine = running;
            copyBlocks(running, reader, filter);
            finishBlocks(running);
        } catch (IOException | RuntimeException | Error e) {
            fail(e);
        }
    }

    private void copyBlocks(CodecEngine running, ImageSource.Reader reader, PieceFilter filter) throws IOException {
        CodecBlock block = acquire(running);
        Chunk chunk = new Chunk(block.input());
        while (!hasFailed() && reader.next(chunk)) {
            filter.apply(chunk);
            if (chunk.hasData()) {
                rules.rate().await(chunk.lengthBytes());
                submit(running, block, chunk.offsetBytes(), (int) chunk.lengthBytes());
                block = acquire(running);
                chunk.use(block.input());
            } else if (sink.isOrdered()) {
                block = submitZeroes(running, block, chunk);
                chunk.use(block.input());
            } else {
                sink.write(chunk);
                progress.add(chunk);
            }
        }
        running.release(block);
    }

    private void submit(CodecEngine running, CodecBlock block, long offset, int length) throws IOException {
        block.setTag(offset);
        block.setInput(sink.inputBytes(length));
        running.submit(block);
        for (CodecBlock done = running.poll(); done != null; done = running.poll()) {
            write(running, done);
        }
    }

    /** Zeroes that the source knows of go through the engine block by block where every block is in the output. */
    private CodecBlock submitZeroes(CodecEngine running, CodecBlock first, Chunk chunk) throws IOException {
        CodecBlock block = first;
        int blockBytes = source.chunkBytes();
        for (long done = 0; done < chunk.lengthBytes() && !hasFailed(); done += blockBytes) {
            int length = (int) Math.min(blockBytes, chunk.lengthBytes() - done);
            NativeMemory.zero(block.input().address(), length);
            submit(running, block, chunk.offsetBytes() + done, length);
            block = acquire(running);
        }
        return block;
    }

    /** A block to fill; until one is free, results are written. */
    private CodecBlock acquire(CodecEngine running) throws IOException {
        CodecBlock block = running.tryAcquire();
        while (block == null) {
            CodecBlock done = running.take();
            if (done == null) {
                throw new IllegalStateException("no block is free and none is under way");
            }
            write(running, done);
            block = running.tryAcquire();
        }
        return block;
    }

    private void finishBlocks(CodecEngine running) throws IOException {
        for (CodecBlock done = running.take(); done != null && !hasFailed(); done = running.take()) {
            write(running, done);
        }
    }

    private void write(CodecEngine running, CodecBlock block) throws IOException {
        sink.write(block);
        long length = source.sizeBytes() == ImageSource.UNKNOWN
                ? block.inputBytes()
                : Math.min(block.inputBytes(), source.sizeBytes() - block.tag());
        progress.add(block.outcome() == Outcome.ZERO ? Chunk.Kind.ZERO : Chunk.Kind.DATA, length);
        running.release(block);
    }
}
