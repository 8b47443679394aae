// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.codec.BlockDecoder;
import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.codec.StreamBlock;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * A raw disk that comes as a compressed stream. As long as the stream consists of blocks that each are one piece of the disk, as
 * ours do, each thread takes the next block and unpacks it by itself. From the first other block on, the stream is unpacked by one
 * thread.
 */
final class BlockStreamSource implements ImageSource {
    private final StreamInput input;
    private final BlockCodec codec;
    private final int chunkBytes;
    private final int unitBytes;

    // Guarded by this.
    private long position;
    private boolean ended;

    /** What comes behind the last block of ours; null as long as there is none. */
    private @Nullable StreamSource rest;

    /** @param input the stream, from its beginning on; is closed with this source */
    BlockStreamSource(StreamInput input, BlockCodec codec, int chunkBytes, int unitBytes) {
        this.input = input;
        this.codec = codec;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
    }

    @Override
    public synchronized long sizeBytes() {
        if (rest != null) {
            return rest.sizeBytes();
        }
        return ended ? position : UNKNOWN;
    }

    @Override
    public int chunkBytes() {
        return chunkBytes;
    }

    @Override
    public Reader openReader() {
        return new BlockReader();
    }

    @Override
    public void giveUp() {
        input.giveUp();
    }

    @Override
    public void close() {
        input.close();
    }

    private final class BlockReader implements Reader {
        private final CodecBuffer packed = new CodecBuffer(codec.encodedBytesMax(chunkBytes));
        private final BlockDecoder decoder = codec.newDecoder();

        // What has been taken.
        private long offset;
        private int packedBytes;
        private int contentBytes;

        @Override
        public boolean next(Chunk chunk) throws IOException {
            StreamSource behind;
            synchronized (BlockStreamSource.this) {
                if (rest == null && !ended) {
                    take();
                }
                behind = rest;
                if (behind == null && packedBytes == 0) {
                    return false;
                }
            }
            if (behind != null) {
                return behind.read(chunk);
            }
            unpack(chunk);
            packedBytes = 0;
            return true;
        }

        /** Takes the next block, if there is one that is a piece of the disk; notes what there is otherwise. */
        private void take() throws IOException {
            int encoded = wholeBlock();
            long content = encoded <= 0 ? encoded : StreamBlock.contentBytes(codec, input.address(), encoded);
            if (encoded == 0) {
                ended = true;
            } else if (content == chunkBytes
                    || (content > 0 && content < chunkBytes && input.await(encoded + 1) == encoded)) {
                NativeMemory.copy(input.address(), packed.address(), encoded);
                input.skip(encoded);
                offset = position;
                packedBytes = encoded;
                contentBytes = (int) content;
                // A disk consists of sectors: the last one is filled up.
                position += roundUp(contentBytes, StreamSource.SECTOR_BYTES);
            } else {
                rest = StreamSource.unpacking(input, chunkBytes, unitBytes, position);
            }
        }

        /** Waits for a block: its length, 0 at the end of the stream, or something negative. */
        private int wholeBlock() throws IOException {
            int available = input.await(1);
            if (available == 0) {
                return 0;
            }
            long encoded = StreamBlock.encodedBytes(codec, input.address(), available);
            while (encoded == StreamBlock.INCOMPLETE && available < packed.capacityBytes()) {
                int before = available;
                available = input.await(before + 1);
                if (available == before) {
                    break; // It ends in the middle: whoever unpacks it says so.
                }
                encoded = StreamBlock.encodedBytes(codec, input.address(), available);
            }
            return encoded > packed.capacityBytes() ? (int) StreamBlock.UNKNOWN : (int) encoded;
        }

        private void unpack(Chunk chunk) throws IOException {
            // A block that holds more than it says fails for lack of room.
            if (decoder.decode(packed, 0, packedBytes, chunk.buffer(), contentBytes) != contentBytes) {
                throw new IOException(
                        input.name() + ": cannot be read: what has offset " + offset + " once unpacked is damaged");
            }
            int length = roundUp(contentBytes, StreamSource.SECTOR_BYTES);
            NativeMemory.zero(chunk.address(contentBytes), length - contentBytes);
            chunk.begin(offset);
            chunk.add(Chunk.Kind.DATA, length);
            chunk.zeroTail(unitBytes);
        }

        private static int roundUp(int bytes, int unitBytes) {
            return (bytes + unitBytes - 1) & -unitBytes;
        }

        @Override
        public void close() {
            decoder.close();
            packed.close();
        }
    }
}
