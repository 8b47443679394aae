// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;

/** A raw disk that comes as a stream of bytes, perhaps compressed; how large it is shows at its end. */
final class StreamSource implements ImageSource {
    /** What a disk's size is a multiple of. */
    static final int SECTOR_BYTES = 512;

    private static final int MAGIC_BYTES = 4;
    private static final int BUFFER_BYTES = 256 << 10;

    /** Reads are of this size at least, but for the last one. Arbitrary. */
    private static final int READ_BYTES = 1 << 20;

    private final StreamInput input;
    private final Bytes bytes;
    private final int chunkBytes;
    private final int unitBytes;

    // Guarded by this.
    private long position;
    private boolean ended;

    /** What the disk's bytes come from. */
    private interface Bytes {
        /** Takes as many bytes as there are and fit; negative at the end. */
        int read(ByteBuffer target) throws IOException;
    }

    private StreamSource(StreamInput input, Bytes bytes, int chunkBytes, int unitBytes, long startBytes) {
        this.input = input;
        this.bytes = bytes;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
        position = startBytes;
    }

    /**
     * Opens a file, or standard input for {@code -}.
     *
     * @param unpacked whether a gzip or zstd stream is decompressed; otherwise its bytes are the disk
     */
    static ImageSource open(String path, boolean unpacked, int chunkBytes, int unitBytes) throws IOException {
        int blockBytesMax =
                Math.max(BlockCodec.GZIP.encodedBytesMax(chunkBytes), BlockCodec.ZSTD.encodedBytesMax(chunkBytes));
        StreamInput input = StreamInput.open(path, blockBytesMax + READ_BYTES);
        try {
            BlockCodec codec = unpacked ? codec(magic(input)) : null;
            return codec == null
                    ? new StreamSource(input, input::read, chunkBytes, unitBytes, 0)
                    : new BlockStreamSource(input, codec, chunkBytes, unitBytes);
        } catch (IOException e) {
            input.close();
            throw e;
        }
    }

    /**
     * A compressed stream that can only be unpacked from its beginning to its end.
     *
     * @param input what is left of it; stays the caller's
     * @param startBytes how much of the disk comes before, a multiple of {@code chunkBytes}
     */
    static StreamSource unpacking(StreamInput input, int chunkBytes, int unitBytes, long startBytes)
            throws IOException {
        try {
            Bytes bytes = Channels.newChannel(unpacked(input.stream(), magic(input)))::read;
            return new StreamSource(input, bytes, chunkBytes, unitBytes, startBytes);
        } catch (IOException e) {
            throw damaged(input, e);
        }
    }

    private static InputStream unpacked(InputStream in, byte[] magic) throws IOException {
        // Whatever is no gzip member is for the other one to refuse.
        return codec(magic) == BlockCodec.GZIP
                ? new GZIPInputStream(in, BUFFER_BYTES)
                : new ZstdInputStreamNoFinalizer(in).setContinuous(false);
    }

    private static byte[] magic(StreamInput input) throws IOException {
        byte[] magic = new byte[Math.min(MAGIC_BYTES, input.await(MAGIC_BYTES))];
        NativeMemory.get(input.address(), magic, 0, magic.length);
        return magic;
    }

    /** Whether a stream that begins so is compressed. */
    static boolean isCompressed(byte[] magic) {
        return codec(magic) != null;
    }

    /** How a stream that begins so is compressed; null for not at all. */
    private static @Nullable BlockCodec codec(byte[] magic) {
        if (magic.length >= 2 && magic[0] == 0x1f && magic[1] == (byte) 0x8b) {
            return BlockCodec.GZIP;
        }
        boolean zstd = magic.length >= 4
                && magic[0] == 0x28
                && magic[1] == (byte) 0xb5
                && magic[2] == 0x2f
                && magic[3] == (byte) 0xfd;
        return zstd ? BlockCodec.ZSTD : null;
    }

    private static IOException damaged(StreamInput input, IOException cause) {
        String message = cause.getMessage() == null ? "it ends too early" : cause.getMessage();
        return message.startsWith(input.name() + ": ")
                ? cause
                : new IOException(input.name() + ": cannot be read: " + message, cause);
    }

    @Override
    public synchronized long sizeBytes() {
        return ended ? position : UNKNOWN;
    }

    @Override
    public int chunkBytes() {
        return chunkBytes;
    }

    @Override
    public Reader openReader() {
        return new Reader() {
            @Override
            public boolean next(Chunk chunk) throws IOException {
                return read(chunk);
            }

            @Override
            public void close() {}
        };
    }

    /** As {@link ImageSource.Reader#next}. */
    synchronized boolean read(Chunk chunk) throws IOException {
        if (ended) {
            return false;
        }
        ByteBuffer target = chunk.bytes(0, chunkBytes);
        try {
            while (target.hasRemaining() && !ended) {
                ended = bytes.read(target) < 0;
            }
        } catch (IOException e) {
            throw damaged(input, e);
        }
        // A disk consists of sectors: the last one is filled up, as for a file whose size is no multiple of 512.
        while (target.position() % SECTOR_BYTES != 0) {
            target.put((byte) 0);
        }
        chunk.begin(position);
        chunk.add(Chunk.Kind.DATA, target.position());
        chunk.zeroTail(unitBytes);
        position += target.position();
        return target.position() > 0;
    }

    @Override
    public void giveUp() {
        input.giveUp();
    }

    @Override
    public void close() {
        input.close();
    }
}
