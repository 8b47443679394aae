// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import static java.util.Objects.requireNonNull;

import dev.vublk.blockdev.codec.BlockCodec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Compresses or decompresses blocks on several threads, without a lock. One thread, the submitter, calls everything but
 * {@link #stats}.
 *
 * <pre>
 *              ring of 4   worker 0
 *  submitter < ring of 4   worker 1 >  one ring of results  -> submitter
 *              ring of 4   worker 2
 * </pre>
 *
 * Blocks are handed out round-robin; a worker whose ring is full is passed over. When all are full, {@link BusyPolicy} says what
 * happens; the submitter never waits for a worker in {@link #submit}. The manner of use:
 *
 * <pre>
 *  for each piece of input:
 *      while ((block = engine.tryAcquire()) == null) { deal with engine.take(), release it }
 *      fill block.input(), block.setInput(...), engine.submit(block)
 *      while ((block = engine.poll()) != null) { deal with it, release it }
 *  while ((block = engine.take()) != null) { deal with it, release it }
 * </pre>
 *
 * After the first rounds nothing is allocated for a block.
 */
public final class CodecEngine implements AutoCloseable {
    private final CodecSettings settings;
    private final int inputBytesMax;
    private final int outputBytesMax;
    private final CodecWorker[] workers;
    private final CodecResults results;
    private final ResultOrder order;
    private final BlockWork submitterWork;
    private final CodecCounters counters = new CodecCounters();
    private final List<CodecBlock> blocks = new ArrayList<>();
    private final CodecBlock[] free;
    private final long startNs = System.nanoTime();
    private int freeCount;
    private int nextWorker;
    private long nextSequence;

    /** Submitted and not yet given out. */
    private int outstanding;

    /** Of them, those that workers have. */
    private int withWorkers;

    private boolean closed;

    CodecEngine(CodecSettings settings, int inputBytesMax, int outputBytesMax, Supplier<BlockWork> works) {
        this.settings = requireNonNull(settings, "settings");
        this.inputBytesMax = inputBytesMax;
        this.outputBytesMax = outputBytesMax;
        results = new CodecResults(settings.blocksMax());
        order = new ResultOrder(settings.blocksMax(), settings.ordered());
        free = new CodecBlock[settings.blocksMax()];
        submitterWork = works.get();
        workers = new CodecWorker[settings.threads()];
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new CodecWorker("codec-" + i, works.get(), results);
        }
        for (CodecWorker worker : workers) {
            worker.start();
        }
    }

    /** An engine that compresses. */
    public static CodecEngine encoding(CodecSettings settings) {
        BlockCodec codec = settings.codec();
        codec.newEncoder(settings.level()).close(); // What is wrong with the level is told before anything is made.
        return new CodecEngine(
                settings,
                settings.blockBytes(),
                Math.max(1, codec.encodedBytesMax(settings.blockBytes())),
                () -> new EncodeWork(codec.newEncoder(settings.level()), codec.isStream()));
    }

    /** An engine that decompresses. Its policy is {@link BusyPolicy#WAIT}. */
    public static CodecEngine decoding(CodecSettings settings) {
        if (settings.busyPolicy() != BusyPolicy.WAIT) {
            throw new IllegalArgumentException("decoding cannot leave a block as it is");
        }
        return new CodecEngine(
                settings,
                settings.encodedBytesMax(),
                settings.blockBytes(),
                () -> new DecodeWork(settings.codec().newDecoder()));
    }

    /** A block to fill; null when all are in use: {@link #take} a result then, and release it. */
    public @Nullable CodecBlock tryAcquire() {
        if (freeCount > 0) {
            return free[--freeCount];
        }
        if (blocks.size() == settings.blocksMax()) {
            return null;
        }
        CodecBlock block = new CodecBlock(inputBytesMax, outputBytesMax);
        blocks.add(block);
        return block;
    }

    /** Hands a filled block over. */
    public void submit(CodecBlock block) {
        block.sequence = nextSequence++;
        outstanding++;
        if (handToWorker(block)) {
            return;
        }
        drain();
        if (settings.busyPolicy() == BusyPolicy.WAIT) {
            counters.countBySubmitter();
            CodecWorker.process(submitterWork, block);
        } else {
            submitterWork.processBusy(block);
        }
        order.add(block);
    }

    /** The next result that is there, or null. Throws {@link IllegalStateException} when the work on it failed. */
    public @Nullable CodecBlock poll() {
        drain();
        return given(order.poll());
    }

    /** The next result; sleeps until there is one. Null when nothing is outstanding. Throws as {@link #poll} does. */
    public @Nullable CodecBlock take() {
        CodecBlock block = poll();
        while (block == null && outstanding > 0) {
            if (withWorkers == 0) {
                throw new IllegalStateException("a result was lost");
            }
            finished(results.take());
            block = given(order.poll());
        }
        return block;
    }

    /** Gives a block back that was acquired, or was a result. */
    public void release(CodecBlock block) {
        block.reset();
        free[freeCount++] = block;
    }

    /** Submitted blocks whose results have not been given out. */
    public int outstanding() {
        return outstanding;
    }

    /** Any thread. */
    public CodecStats stats() {
        List<Long> cpuNs = new ArrayList<>();
        for (CodecWorker worker : workers) {
            cpuNs.add(worker.cpuNs());
        }
        return counters.stats(System.nanoTime() - startNs, cpuNs);
    }

    /** The workers' threads, for whoever watches them. */
    public List<Thread> threads() {
        return Arrays.stream(workers).map(CodecWorker::thread).toList();
    }

    /** Stops the workers, each after the block that it has in hand, and frees all blocks. What is outstanding is lost. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        for (CodecWorker worker : workers) {
            worker.stop();
        }
        for (CodecWorker worker : workers) {
            worker.join();
        }
        submitterWork.close();
        for (CodecBlock block : blocks) {
            block.free();
        }
    }

    private boolean handToWorker(CodecBlock block) {
        for (int tries = workers.length; tries > 0; tries--) {
            CodecWorker worker = workers[nextWorker];
            nextWorker = nextWorker + 1 == workers.length ? 0 : nextWorker + 1;
            if (worker.offer(block)) {
                withWorkers++;
                return true;
            }
        }
        return false;
    }

    private void drain() {
        for (CodecBlock block = results.poll(); block != null; block = results.poll()) {
            finished(block);
        }
    }

    private void finished(CodecBlock block) {
        withWorkers--;
        order.add(block);
    }

    private @Nullable CodecBlock given(@Nullable CodecBlock block) {
        if (block == null) {
            return null;
        }
        outstanding--;
        Throwable failure = block.failure;
        if (failure != null) {
            long sequence = block.sequence;
            release(block);
            throw new IllegalStateException("block " + sequence + ": " + failure, failure);
        }
        counters.count(block);
        return block;
    }
}
