// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/** System calls on a file descriptor, blocking and uninterpreted: a count or 0, or a negative errno. Any thread. */
public final class PosixFile {
    public static final int O_RDONLY = 0;
    public static final int O_RDWR = 2;

    /** On a block device: fails with {@code EBUSY} when the kernel or another {@code O_EXCL} opener uses it. */
    public static final int O_EXCL = 0x80;

    public static final int O_CLOEXEC = 0x80000;

    /** The one open flag used here that differs between architectures. */
    public static final int O_DIRECT = System.getProperty("os.arch", "").equals("aarch64") ? 0x10000 : 0x4000;

    /** Data and the metadata needed to read it are stable when the write returns, as with {@code O_DSYNC}. */
    public static final int RWF_DSYNC = 0x2;

    public static final int FALLOC_FL_KEEP_SIZE = 0x01;
    public static final int FALLOC_FL_PUNCH_HOLE = 0x02;
    public static final int FALLOC_FL_ZERO_RANGE = 0x10;

    /** For {@link #seek}: the next byte that is no part of a hole; the next hole. */
    public static final int SEEK_DATA = 3;

    public static final int SEEK_HOLE = 4;

    /** File system types of {@link #fileSystemType}: files that live in memory. */
    public static final long TMPFS_MAGIC = 0x0102_1994;

    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int MAP_SHARED = 1;

    /** At least {@code sizeof(struct statfs)}, which begins with the type as a long. */
    private static final int STATFS_BYTES = 256;

    private PosixFile() {}

    public static int open(String path, int flags) {
        return LibC.open(path, flags | O_CLOEXEC, 0);
    }

    public static void close(int fd) {
        LibC.close(fd);
    }

    public static int read(int fd, long address, int lengthBytes, long offsetBytes) {
        return (int) LibC.pread(fd, address, lengthBytes, offsetBytes);
    }

    public static int write(int fd, long address, int lengthBytes, long offsetBytes) {
        return (int) LibC.pwrite(fd, address, lengthBytes, offsetBytes);
    }

    public static int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return (int) LibC.preadv2(fd, iovAddress, iovCount, offsetBytes, rwFlags);
    }

    public static int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return (int) LibC.pwritev2(fd, iovAddress, iovCount, offsetBytes, rwFlags);
    }

    public static int fdatasync(int fd) {
        return LibC.fdatasync(fd);
    }

    public static int fsync(int fd) {
        return LibC.fsync(fd);
    }

    public static int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        return LibC.fallocate(fd, mode, offsetBytes, lengthBytes);
    }

    /** The magic number of the file system that an open file is on. */
    public static long fileSystemType(int fd) {
        long buffer = NativeMemory.allocateZeroed(STATFS_BYTES);
        try {
            int result = LibC.fstatfs(fd, buffer);
            return result < 0 ? result : NativeMemory.getLong(buffer);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** Maps the beginning of a file, shared; what lies behind the file's end must not be touched. An address or an errno. */
    public static long map(int fd, long lengthBytes, boolean writable) {
        int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        return LibC.mmap(0, lengthBytes, protection, MAP_SHARED, fd, 0);
    }

    /**
     * Which of some mapped pages are in memory: bit 0 of a byte for each at {@code vectorAddress}. All of them, to the kernel's
     * word, when this process may not write the file.
     */
    public static int mincore(long address, long lengthBytes, long vectorAddress) {
        return LibC.mincore(address, lengthBytes, vectorAddress);
    }

    /** Nobody may touch the range any more: a later access ends the process. */
    public static void unmap(long address, long lengthBytes) {
        LibC.munmap(address, lengthBytes);
    }

    public static int ftruncate(int fd, long lengthBytes) {
        return LibC.ftruncate(fd, lengthBytes);
    }

    /** {@code lseek(2)}: an offset, or a negative errno, {@code -ENXIO} where there is nothing any more. */
    public static long seek(int fd, long offsetBytes, int whence) {
        return LibC.lseek(fd, offsetBytes, whence);
    }
}
