// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/** The compressed forms of a block that images and streams are made of. */
public enum BlockCodec {
    /** A compressed cluster of a qcow2 image of type zlib: raw deflate whose distances are at most 4096 bytes. */
    QCOW2_ZLIB(1, 9, 6) {
        @Override
        public BlockEncoder newEncoder(int level) {
            return new DeflateClusterEncoder(checked(level));
        }

        @Override
        public BlockDecoder newDecoder() {
            return new InflateDecoder();
        }

        @Override
        public int encodedBytesMax(int blockBytes) {
            return blockBytes;
        }
    },
    /** A compressed cluster of a qcow2 image of type zstd: one frame. */
    QCOW2_ZSTD(1, 22, 3) {
        @Override
        public BlockEncoder newEncoder(int level) {
            return new ZstdEncoder(checked(level), true);
        }

        @Override
        public BlockDecoder newDecoder() {
            return new ZstdDecoder(true);
        }

        @Override
        public int encodedBytesMax(int blockBytes) {
            return ZstdFrame.encodedBytesMax(blockBytes);
        }
    },
    /** One member of a gzip stream; members that follow each other are a file that {@code gzip -d} takes. */
    GZIP(1, 9, 6) {
        @Override
        public BlockEncoder newEncoder(int level) {
            return new GzipMemberEncoder(checked(level));
        }

        @Override
        public BlockDecoder newDecoder() {
            return new GzipMemberDecoder();
        }

        @Override
        public int encodedBytesMax(int blockBytes) {
            return GzipMember.encodedBytesMax(blockBytes);
        }
    },
    /** One frame of a zstd stream; frames that follow each other are a file that {@code zstd -d} takes. */
    ZSTD(1, 22, 3) {
        @Override
        public BlockEncoder newEncoder(int level) {
            return new ZstdEncoder(checked(level), false);
        }

        @Override
        public BlockDecoder newDecoder() {
            return new ZstdDecoder(false);
        }

        @Override
        public int encodedBytesMax(int blockBytes) {
            return ZstdFrame.encodedBytesMax(blockBytes);
        }
    };

    private final int levelMin;
    private final int levelMax;
    private final int levelDefault;

    BlockCodec(int levelMin, int levelMax, int levelDefault) {
        this.levelMin = levelMin;
        this.levelMax = levelMax;
        this.levelDefault = levelDefault;
    }

    /** The fastest level. */
    public int levelMin() {
        return levelMin;
    }

    /** The level of the smallest output. */
    public int levelMax() {
        return levelMax;
    }

    /** The level where none is asked for. */
    public int levelDefault() {
        return levelDefault;
    }

    /** Whether every block has a form in the output, zeroes too. */
    public boolean isStream() {
        return this == GZIP || this == ZSTD;
    }

    /** A new encoder; throws {@link IllegalArgumentException} when there is no such level. */
    public abstract BlockEncoder newEncoder(int level);

    public abstract BlockDecoder newDecoder();

    /** The room that an encoder needs for a block of that size. */
    public abstract int encodedBytesMax(int blockBytes);

    int checked(int level) {
        if (level < levelMin || level > levelMax) {
            throw new IllegalArgumentException("level " + level + " is not within " + levelMin + "-" + levelMax);
        }
        return level;
    }
}
