// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PushbackInputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.util.zip.GZIPInputStream;

/** A raw disk that comes as a stream of bytes, perhaps compressed; how large it is shows at its end. */
final class StreamSource implements ImageSource {
    private static final int MAGIC_BYTES = 4;
    private static final int BUFFER_BYTES = 256 << 10;
    private static final int SECTOR_BYTES = 512;

    private final FileInputStream file;
    private final ReadableByteChannel in;
    private final String name;
    private final int chunkBytes;
    private final int unitBytes;

    // Guarded by this.
    private long position;
    private boolean ended;

    private StreamSource(FileInputStream file, ReadableByteChannel in, String name, int chunkBytes, int unitBytes) {
        this.file = file;
        this.in = in;
        this.name = name;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
    }

    /**
     * Opens a file, or standard input for {@code -}.
     *
     * @param unpacked whether a gzip or zstd stream is decompressed; otherwise its bytes are the disk
     */
    static StreamSource open(String path, boolean unpacked, int chunkBytes, int unitBytes) throws IOException {
        boolean standard = path.equals("-");
        String name = standard ? "standard input" : path;
        FileInputStream file = standard ? new FileInputStream(FileDescriptor.in) : new FileInputStream(path);
        try {
            ReadableByteChannel in = unpacked ? unpack(file, name) : file.getChannel();
            return new StreamSource(file, in, name, chunkBytes, unitBytes);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    private static ReadableByteChannel unpack(FileInputStream file, String name) throws IOException {
        PushbackInputStream pushback = new PushbackInputStream(Channels.newInputStream(file.getChannel()), MAGIC_BYTES);
        byte[] magic = pushback.readNBytes(MAGIC_BYTES);
        pushback.unread(magic);
        try {
            return Channels.newChannel(unpacked(pushback, magic));
        } catch (IOException e) {
            throw damaged(name, e);
        }
    }

    private static InputStream unpacked(InputStream in, byte[] magic) throws IOException {
        if (isGzip(magic)) {
            return new GZIPInputStream(in, BUFFER_BYTES);
        }
        return isZstd(magic) ? new ZstdInputStreamNoFinalizer(in).setContinuous(false) : in;
    }

    /** Whether a stream that begins so is compressed. */
    static boolean isCompressed(byte[] magic) {
        return isGzip(magic) || isZstd(magic);
    }

    private static boolean isGzip(byte[] magic) {
        return magic.length >= 2 && magic[0] == 0x1f && magic[1] == (byte) 0x8b;
    }

    private static boolean isZstd(byte[] magic) {
        return magic.length >= 4
                && magic[0] == 0x28
                && magic[1] == (byte) 0xb5
                && magic[2] == 0x2f
                && magic[3] == (byte) 0xfd;
    }

    private static IOException damaged(String name, IOException cause) {
        return new IOException(name + ": cannot be read: " + cause.getMessage(), cause);
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

    private synchronized boolean read(Chunk chunk) throws IOException {
        if (ended) {
            return false;
        }
        ByteBuffer bytes = chunk.bytes(0, chunkBytes);
        try {
            while (bytes.hasRemaining() && !ended) {
                ended = in.read(bytes) < 0;
            }
        } catch (IOException e) {
            throw damaged(name, e);
        }
        // A disk consists of sectors: the last one is filled up, as for a file whose size is no multiple of 512.
        while (bytes.position() % SECTOR_BYTES != 0) {
            bytes.put((byte) 0);
        }
        chunk.begin(position);
        chunk.add(Chunk.Kind.DATA, bytes.position());
        chunk.zeroTail(unitBytes);
        position += bytes.position();
        return bytes.position() > 0;
    }

    @Override
    public void giveUp() {
        try {
            file.close(); // ends a read that waits for whoever writes
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
    }

    @Override
    public void close() {
        giveUp();
    }
}
