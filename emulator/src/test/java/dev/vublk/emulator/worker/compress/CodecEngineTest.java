// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.worker.compress.CodecBlock.Outcome;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The codec engine: order, policies, failures, stop. */
@Timeout(300)
class CodecEngineTest {
    private static final int BLOCK_BYTES = 4096;

    private final long seed = Long.getLong("vublk.codec.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    @ParameterizedTest
    @EnumSource
    void shouldGiveBackWhatItCompressed(BlockCodec codec) {
        for (int threads = 1; threads <= 4; threads++) {
            for (BusyPolicy policy : BusyPolicy.values()) {
                CodecSettings settings = CodecSettings.of(codec, threads, BLOCK_BYTES)
                        .withBusyPolicy(policy)
                        .withOrdered(random.nextBoolean())
                        .withBlocksMax(1 + random.nextInt(40));
                try (RoundTrip trip = new RoundTrip(settings, random, "seed " + seed + ", " + settings)) {
                    trip.run(2000);
                }
            }
        }
    }

    @Test
    void shouldStoreWhatNoWorkerHasTimeFor() {
        CountDownLatch go = new CountDownLatch(1);
        CodecSettings settings = CodecSettings.of(BlockCodec.QCOW2_ZLIB, 2, BLOCK_BYTES)
                .withBusyPolicy(BusyPolicy.STORE)
                .withBlocksMax(100);
        try (CodecEngine engine =
                new CodecEngine(settings, BLOCK_BYTES, BLOCK_BYTES, () -> new WaitingWork(go, null))) {
            // Two in work, eight in the rings; the two may or may not have left the rings yet.
            for (int i = 0; i < 20; i++) {
                submit(engine, i);
            }
            int busy = 0;
            for (CodecBlock block = engine.poll(); block != null; block = engine.poll()) {
                assertThat(block.outcome()).isEqualTo(Outcome.BUSY);
                assertThat(block.isRaw()).isTrue();
                assertThat(block.resultAddress()).isEqualTo(block.input().address());
                busy++;
                engine.release(block);
            }
            assertThat(busy).isBetween(10, 12);
            go.countDown();
            int others = 0;
            for (CodecBlock block = engine.take(); block != null; block = engine.take()) {
                assertThat(block.outcome()).isEqualTo(Outcome.COMPRESSED);
                others++;
                engine.release(block);
            }
            assertThat(busy + others).isEqualTo(20);
            assertThat(engine.stats().busyBlocks()).isEqualTo(busy);
            assertThat(engine.stats().busyRate()).isEqualTo(busy / 20.0);
        }
    }

    @Test
    void shouldWorkItselfWhereItMayNotStore() {
        CountDownLatch go = new CountDownLatch(1);
        CodecSettings settings =
                CodecSettings.of(BlockCodec.QCOW2_ZLIB, 1, BLOCK_BYTES).withBlocksMax(100);
        Thread submitter = Thread.currentThread();
        try (CodecEngine engine =
                new CodecEngine(settings, BLOCK_BYTES, BLOCK_BYTES, () -> new WaitingWork(go, submitter))) {
            for (int i = 0; i < 20; i++) {
                submit(engine, i);
            }
            long bySubmitter = engine.stats().submitterBlocks();
            assertThat(bySubmitter).isBetween(15L, 16L);
            go.countDown();
            int all = 0;
            for (CodecBlock block = engine.take(); block != null; block = engine.take()) {
                assertThat(block.outcome()).isEqualTo(Outcome.COMPRESSED);
                all++;
                engine.release(block);
            }
            assertThat(all).isEqualTo(20);
            assertThat(engine.stats().busyBlocks()).isZero();
        }
    }

    @Test
    void shouldTellTheSubmitterOfAWorkersException() {
        CodecSettings settings =
                CodecSettings.of(BlockCodec.QCOW2_ZLIB, 3, BLOCK_BYTES).withOrdered(true);
        try (CodecEngine engine = new CodecEngine(settings, BLOCK_BYTES, BLOCK_BYTES, FailingWork::new)) {
            int failed = 0;
            int right = 0;
            for (int i = 0; i < 300; i++) {
                CodecBlock block = engine.tryAcquire();
                if (block != null) {
                    block.setTag(i % 7 == 3 ? FailingWork.FAILS : i);
                    engine.submit(block);
                }
                if (block == null || i == 299) {
                    i -= block == null ? 1 : 0;
                    boolean last = block != null;
                    do {
                        try {
                            CodecBlock result = engine.take();
                            if (result == null) {
                                break;
                            }
                            right++;
                            engine.release(result);
                        } catch (IllegalStateException e) {
                            assertThat(e)
                                    .hasMessageContaining("as it was told")
                                    .hasCauseInstanceOf(ArithmeticException.class);
                            failed++;
                        }
                    } while (last);
                }
            }
            assertThat(failed).isEqualTo(43);
            assertThat(right).isEqualTo(257);
        }
    }

    @Test
    void shouldStopInTheMiddle() {
        for (int round = 0; round < 200; round++) {
            CodecSettings settings = CodecSettings.of(BlockCodec.QCOW2_ZSTD, 1 + random.nextInt(4), BLOCK_BYTES)
                    .withOrdered(random.nextBoolean());
            CodecEngine engine = CodecEngine.encoding(settings);
            int submitted = random.nextInt(settings.blocksMax());
            for (int i = 0; i < submitted; i++) {
                submit(engine, i);
            }
            engine.close();
            engine.close();
        }
    }

    @Test
    void shouldWakeSleepers() {
        // One block at a time: worker and submitter sleep in turn.
        CodecSettings settings = CodecSettings.of(BlockCodec.QCOW2_ZLIB, 2, BLOCK_BYTES);
        try (CodecEngine engine = new CodecEngine(settings, 64, 64, QuickWork::new)) {
            for (int i = 0; i < 20_000; i++) {
                CodecBlock block = requireNonNull(engine.tryAcquire());
                block.setTag(i);
                engine.submit(block);
                CodecBlock result = engine.take();
                assertThat(result).isSameAs(block);
                engine.release(block);
            }
            assertThat(engine.take()).isNull();
        }
    }

    @Test
    void shouldRefuseToLeaveABlockAsItIsWhenDecoding() {
        CodecSettings settings =
                CodecSettings.of(BlockCodec.ZSTD, 1, BLOCK_BYTES).withBusyPolicy(BusyPolicy.STORE);
        assertThatThrownBy(() -> CodecEngine.decoding(settings)).isInstanceOf(IllegalArgumentException.class);
    }

    private static void submit(CodecEngine engine, long tag) {
        CodecBlock block = requireNonNull(engine.tryAcquire());
        NativeMemory.zero(block.input().address(), BLOCK_BYTES);
        NativeMemory.putLong(block.input().address(), tag + 1);
        block.setInput(BLOCK_BYTES);
        block.setTag(tag);
        engine.submit(block);
    }

    private static final class QuickWork implements BlockWork {
        @Override
        public void process(CodecBlock block) {
            block.outcome = Outcome.COMPRESSED;
            block.outputBytes = 1;
        }

        @Override
        public void processBusy(CodecBlock block) {
            block.outcome = Outcome.BUSY;
            block.outputBytes = -1;
        }

        @Override
        public void close() {}
    }

    /** Waits until it may go on; the submitter need not. */
    private static final class WaitingWork implements BlockWork {
        private final CountDownLatch go;
        private final @Nullable Thread exempt;
        private final BlockWork work = new QuickWork();

        WaitingWork(CountDownLatch go, @Nullable Thread exempt) {
            this.go = go;
            this.exempt = exempt;
        }

        @Override
        public void process(CodecBlock block) {
            if (!Thread.currentThread().equals(exempt)) {
                try {
                    go.await();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
            work.process(block);
        }

        @Override
        public void processBusy(CodecBlock block) {
            work.processBusy(block);
        }

        @Override
        public void close() {}
    }

    private static final class FailingWork implements BlockWork {
        static final long FAILS = -7;
        private final BlockWork work = new QuickWork();

        @Override
        public void process(CodecBlock block) {
            if (block.tag() == FAILS) {
                throw new ArithmeticException("as it was told");
            }
            work.process(block);
        }

        @Override
        public void processBusy(CodecBlock block) {
            work.processBusy(block);
        }

        @Override
        public void close() {}
    }
}
