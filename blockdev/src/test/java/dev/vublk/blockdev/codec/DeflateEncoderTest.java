// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.luben.zstd.ZstdInputStream;
import com.sun.management.ThreadMXBean;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Random;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;

/** What others must be able to rely on in what {@link DeflateEncoder} and the members and frames around it write. */
class DeflateEncoderTest {
    private static final int CLUSTER_BYTES = 65_536;

    private final long seed = Long.getLong("vublk.codec.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    @Test
    void shouldReachNoFurtherThanQemusWindow() {
        int furthest = 0;
        try (BlockEncoder encoder = BlockCodec.QCOW2_ZLIB.newEncoder(9);
                CodecBuffer target = new CodecBuffer(CLUSTER_BYTES)) {
            for (int round = 0; round < 12; round++) {
                byte[] data = TestData.of(round < 2 ? 5 : 2 + round % 6, 20_000, random);
                try (CodecBuffer source = TestData.buffer(data)) {
                    int encoded = encoder.encode(source, data.length, target);
                    if (encoded > 0) {
                        InflateModel model = new InflateModel(TestData.bytes(target, encoded));
                        assertThat(model.inflate())
                                .as("seed %d, round %d", seed, round)
                                .isEqualTo(data);
                        assertThat(model.inputBytes()).isEqualTo(encoded);
                        furthest = Math.max(furthest, model.distanceMax());
                    }
                }
            }
        }
        assertThat(furthest).as("seed %d", seed).isBetween(3000, 4096);
    }

    @Test
    void shouldLimitTheLengthOfCodes() {
        // Counts like Fibonacci's numbers make an optimal code as long as there are symbols.
        PrefixCode code = new PrefixCode(30, 15);
        int[] counts = new int[30];
        for (int i = 0, a = 1, b = 1; i < 30; i++, b += a, a = b - a) {
            counts[i] = a;
        }
        code.build(counts);
        int sum = 0;
        for (byte bits : code.bits) {
            assertThat(bits).isBetween((byte) 1, (byte) 15);
            sum += 1 << (15 - bits);
        }
        assertThat(sum).isEqualTo(1 << 15);
    }

    @Test
    void shouldAllocateNothingForABlock() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        byte[] data = TestData.of(2, CLUSTER_BYTES, random);
        try (BlockEncoder encoder = BlockCodec.QCOW2_ZLIB.newEncoder(6);
                CodecBuffer source = TestData.buffer(data);
                CodecBuffer target = new CodecBuffer(CLUSTER_BYTES)) {
            long least = Long.MAX_VALUE;
            for (int round = 0; round < 500 && least > 0; round++) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 10; i++) {
                    encoder.encode(source, data.length, target);
                }
                least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            }
            assertThat(least).as("bytes for 10 blocks, seed %d", seed).isZero();
        }
    }

    @Test
    void shouldMakeStreamsThatOthersRead() throws IOException {
        for (BlockCodec codec : new BlockCodec[] {BlockCodec.GZIP, BlockCodec.ZSTD}) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            ByteArrayOutputStream stream = new ByteArrayOutputStream();
            try (BlockEncoder encoder = codec.newEncoder(codec.levelDefault())) {
                for (int i = 0; i < 40; i++) {
                    byte[] data = TestData.of(i % TestData.KINDS, random.nextInt(200_000), random);
                    try (CodecBuffer source = TestData.buffer(data);
                            CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(data.length))) {
                        int encoded = i % 3 == 0
                                ? encoder.store(source, data.length, target)
                                : encoder.encode(source, data.length, target);
                        all.write(data);
                        stream.write(TestData.bytes(target, encoded));
                    }
                }
            }
            ByteArrayInputStream packed = new ByteArrayInputStream(stream.toByteArray());
            try (var reader = codec == BlockCodec.GZIP ? new GZIPInputStream(packed) : new ZstdInputStream(packed)) {
                assertThat(reader.readAllBytes()).as("%s, seed %d", codec, seed).isEqualTo(all.toByteArray());
            }
        }
    }
}
