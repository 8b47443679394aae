// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import java.io.IOException;

/**
 * What {@code statx(2)} says of a file.
 *
 * @param kind what it is
 * @param sizeBytes its length; 0 for a block device
 * @param allocatedBytes space that it takes
 * @param blockBytes {@code st_blksize}: the file system's preferred block
 * @param device {@code major:minor} in decimal: of a block device itself, otherwise of the file system
 * @param directKnown whether the kernel told the O_DIRECT alignments (6.1 for files, 6.11 for block devices)
 * @param directMemoryBytes alignment of memory for O_DIRECT, 0 when O_DIRECT is not possible
 * @param directOffsetBytes alignment of offsets and lengths for O_DIRECT, 0 when O_DIRECT is not possible
 */
public record FileStatus(
        Kind kind,
        long sizeBytes,
        long allocatedBytes,
        int blockBytes,
        String device,
        boolean directKnown,
        int directMemoryBytes,
        int directOffsetBytes) {

    /** What a path names. */
    public enum Kind {
        REGULAR_FILE("a regular file"),
        BLOCK_DEVICE("a block device"),
        DIRECTORY("a directory"),
        CHARACTER_DEVICE("a character device"),
        FIFO("a FIFO"),
        SOCKET("a socket"),
        OTHER("of an unknown type");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    private static final int AT_FDCWD = -100;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int STATX_BASIC_STATS = 0x7ff;
    private static final int STATX_DIOALIGN = 0x2000;

    private static final int STRUCT_STATX_BYTES = 256;
    private static final int STX_MASK = 0;
    private static final int STX_BLKSIZE = 4;
    private static final int STX_MODE = 28;
    private static final int STX_SIZE = 40;
    private static final int STX_BLOCKS = 48;
    private static final int STX_RDEV_MAJOR = 128;
    private static final int STX_RDEV_MINOR = 132;
    private static final int STX_DEV_MAJOR = 136;
    private static final int STX_DEV_MINOR = 140;
    private static final int STX_DIO_MEM_ALIGN = 152;
    private static final int STX_DIO_OFFSET_ALIGN = 156;

    /** Of an open file. */
    public static FileStatus of(int fd) throws IOException {
        return statx(fd, "", AT_EMPTY_PATH);
    }

    /** Of a path, symbolic links followed. The exception's message is the errno's text alone. */
    public static FileStatus of(String path) throws IOException {
        return statx(AT_FDCWD, path, 0);
    }

    private static FileStatus statx(int directoryFd, String path, int flags) throws IOException {
        long buffer = NativeMemory.allocateZeroed(STRUCT_STATX_BYTES);
        try {
            int result = LibC.statx(directoryFd, path, flags, STATX_BASIC_STATS | STATX_DIOALIGN, buffer);
            if (result < 0) {
                throw new IOException(Errno.describe(result));
            }
            return decode(buffer);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private static FileStatus decode(long buffer) {
        Kind kind = kind(NativeMemory.getShort(buffer + STX_MODE));
        boolean block = kind == Kind.BLOCK_DEVICE;
        int major = NativeMemory.getInt(buffer + (block ? STX_RDEV_MAJOR : STX_DEV_MAJOR));
        int minor = NativeMemory.getInt(buffer + (block ? STX_RDEV_MINOR : STX_DEV_MINOR));
        return new FileStatus(
                kind,
                block ? 0 : NativeMemory.getLong(buffer + STX_SIZE),
                NativeMemory.getLong(buffer + STX_BLOCKS) * 512, // stx_blocks counts 512-byte units everywhere
                NativeMemory.getInt(buffer + STX_BLKSIZE),
                major + ":" + minor,
                (NativeMemory.getInt(buffer + STX_MASK) & STATX_DIOALIGN) != 0,
                NativeMemory.getInt(buffer + STX_DIO_MEM_ALIGN),
                NativeMemory.getInt(buffer + STX_DIO_OFFSET_ALIGN));
    }

    private static Kind kind(short mode) {
        return switch (mode & 0xf000) {
            case 0x1000 -> Kind.FIFO;
            case 0x2000 -> Kind.CHARACTER_DEVICE;
            case 0x4000 -> Kind.DIRECTORY;
            case 0x6000 -> Kind.BLOCK_DEVICE;
            case 0x8000 -> Kind.REGULAR_FILE;
            case 0xc000 -> Kind.SOCKET;
            default -> Kind.OTHER;
        };
    }
}
