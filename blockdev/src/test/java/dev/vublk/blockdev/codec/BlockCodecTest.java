// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Round trips of every codec, and hostile input to its decoder. */
class BlockCodecTest {
    private static final int[] SIZES = {
        0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 200_001
    };
    private static final int CLUSTER_BYTES_MAX = 2 << 20;

    private final long seed = Long.getLong("vublk.codec.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    @ParameterizedTest
    @EnumSource
    void shouldGiveBackEveryKindAndSize(BlockCodec codec) {
        try (BlockDecoder decoder = codec.newDecoder()) {
            for (int level = codec.levelMin();
                    level <= Math.min(19, codec.levelMax());
                    level += 1 + codec.levelMax() / 4) {
                try (BlockEncoder encoder = codec.newEncoder(level)) {
                    for (int size : SIZES) {
                        for (int kind = 0; kind < TestData.KINDS; kind++) {
                            byte[] data = TestData.of(kind, size, random);
                            shouldGiveBack(codec, encoder, decoder, data, "level " + level + ", kind " + kind);
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldGiveBackTheLargestClusters(BlockCodec codec) {
        try (BlockDecoder decoder = codec.newDecoder();
                BlockEncoder encoder = codec.newEncoder(codec.levelDefault())) {
            for (int kind = 0; kind < TestData.KINDS; kind++) {
                byte[] data = TestData.of(kind, CLUSTER_BYTES_MAX, random);
                shouldGiveBack(codec, encoder, decoder, data, "kind " + kind);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldGiveBackWhatWasOnlyStored(BlockCodec codec) {
        try (BlockDecoder decoder = codec.newDecoder();
                BlockEncoder encoder = codec.newEncoder(codec.levelDefault())) {
            for (int size : SIZES) {
                byte[] data = TestData.of(1, size, random);
                try (CodecBuffer source = TestData.buffer(data);
                        CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(size));
                        CodecBuffer back = new CodecBuffer(size)) {
                    int encoded = encoder.store(source, size, target);
                    if (codec.isStream()) {
                        assertThat(decoder.decode(target, 0, encoded, back, size))
                                .isEqualTo(size);
                        assertThat(TestData.bytes(back, size)).isEqualTo(data);
                    } else {
                        assertThat(encoded).isEqualTo(BlockEncoder.NOT_SMALLER);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldStayInBoundsWhateverTheInput(BlockCodec codec) {
        byte[] data = TestData.of(7, 50_000, random);
        try (BlockEncoder encoder = codec.newEncoder(codec.levelDefault());
                BlockDecoder decoder = codec.newDecoder();
                CodecBuffer source = TestData.buffer(data);
                CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(data.length));
                CodecBuffer back = new CodecBuffer(data.length)) {
            int encoded = encoder.encode(source, data.length, target);
            byte[] good = TestData.bytes(target, encoded);
            for (int i = 0; i < 3000; i++) {
                byte[] bad = i % 3 == 0 ? randomBytes() : good.clone();
                int length = i % 3 == 1 ? random.nextInt(bad.length) : bad.length;
                if (i % 3 == 2) {
                    bad[random.nextInt(bad.length)] ^= (byte) (1 << random.nextInt(8));
                }
                int room = random.nextInt(back.capacityBytes() + 1);
                try (CodecBuffer hostile = TestData.buffer(bad)) {
                    assertThat(decoder.decode(hostile, 0, length, back, room))
                            .as("seed %d, round %d", seed, i)
                            .isBetween(BlockDecoder.CORRUPT, room);
                }
            }
            // And it is none the worse for it.
            assertThat(decoder.decode(target, 0, encoded, back, data.length)).isEqualTo(data.length);
            assertThat(TestData.bytes(back, data.length)).isEqualTo(data);
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldRefuseWhatEndsTooEarly(BlockCodec codec) {
        byte[] data = TestData.of(2, 20_000, random);
        try (BlockEncoder encoder = codec.newEncoder(codec.levelDefault());
                BlockDecoder decoder = codec.newDecoder();
                CodecBuffer source = TestData.buffer(data);
                CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(data.length));
                CodecBuffer back = new CodecBuffer(data.length)) {
            int encoded = encoder.encode(source, data.length, target);
            for (int length : new int[] {0, 1, 9, encoded / 2, encoded - 9}) {
                assertThat(decoder.decode(target, 0, length, back, data.length))
                        .as("the first %d of %d bytes", length, encoded)
                        .isEqualTo(BlockDecoder.CORRUPT);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldNotMakeMoreThanThereIsRoomFor(BlockCodec codec) {
        byte[] bomb = new byte[CLUSTER_BYTES_MAX];
        try (BlockEncoder encoder = codec.newEncoder(codec.levelDefault());
                BlockDecoder decoder = codec.newDecoder();
                CodecBuffer source = TestData.buffer(bomb);
                CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(bomb.length));
                CodecBuffer back = new CodecBuffer(65_536)) {
            int encoded = encoder.encode(source, bomb.length, target);
            // For a cluster of type zlib, being full is enough: QEMU reads no further either.
            assertThat(decoder.decode(target, 0, encoded, back, 65_536))
                    .isEqualTo(codec == BlockCodec.QCOW2_ZLIB ? 65_536 : BlockDecoder.CORRUPT);
        }
    }

    @Test
    void shouldIgnorePaddingBehindClusters() {
        byte[] data = TestData.of(2, 65_536, random);
        for (BlockCodec codec : new BlockCodec[] {BlockCodec.QCOW2_ZLIB, BlockCodec.QCOW2_ZSTD}) {
            try (BlockEncoder encoder = codec.newEncoder(codec.levelDefault());
                    BlockDecoder decoder = codec.newDecoder();
                    CodecBuffer source = TestData.buffer(data);
                    CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(data.length));
                    CodecBuffer back = new CodecBuffer(data.length)) {
                int encoded = encoder.encode(source, data.length, target);
                assertThat(decoder.decode(target, 0, encoded + 511, back, data.length))
                        .isEqualTo(data.length);
                assertThat(TestData.bytes(back, data.length)).isEqualTo(data);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldNameTheLevelsThatThereAre(BlockCodec codec) {
        assertThatThrownBy(() -> codec.newEncoder(codec.levelMax() + 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("not within " + codec.levelMin() + "-" + codec.levelMax());
    }

    private byte[] randomBytes() {
        byte[] bytes = new byte[1 + random.nextInt(2000)];
        random.nextBytes(bytes);
        return bytes;
    }

    private void shouldGiveBack(
            BlockCodec codec, BlockEncoder encoder, BlockDecoder decoder, byte[] data, String what) {
        String of = codec + ", " + data.length + " bytes, " + what + ", seed " + seed;
        try (CodecBuffer source = TestData.buffer(data);
                CodecBuffer target = new CodecBuffer(codec.encodedBytesMax(data.length));
                CodecBuffer back = new CodecBuffer(data.length)) {
            int encoded = encoder.encode(source, data.length, target);
            if (encoded == BlockEncoder.NOT_SMALLER) {
                assertThat(codec.isStream()).as(of).isFalse();
                return;
            }
            assertThat(encoded).as(of).isLessThanOrEqualTo(codec.encodedBytesMax(data.length));
            assertThat(decoder.decode(target, 0, encoded, back, data.length))
                    .as(of)
                    .isEqualTo(data.length);
            assertThat(TestData.bytes(back, data.length)).as(of).isEqualTo(data);
        }
    }
}
