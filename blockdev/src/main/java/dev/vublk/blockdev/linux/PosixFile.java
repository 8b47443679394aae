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

    private PosixFile() {}

    public static int open(String path, int flags) {
        return (int) LibC.check(LibC.INSTANCE.open(path, flags | O_CLOEXEC, 0));
    }

    public static void close(int fd) {
        LibC.INSTANCE.close(fd);
    }

    public static int read(int fd, long address, int lengthBytes, long offsetBytes) {
        return (int) LibC.check(LibC.INSTANCE.pread(fd, address, lengthBytes, offsetBytes));
    }

    public static int write(int fd, long address, int lengthBytes, long offsetBytes) {
        return (int) LibC.check(LibC.INSTANCE.pwrite(fd, address, lengthBytes, offsetBytes));
    }

    public static int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return (int) LibC.check(LibC.INSTANCE.preadv2(fd, iovAddress, iovCount, offsetBytes, rwFlags));
    }

    public static int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return (int) LibC.check(LibC.INSTANCE.pwritev2(fd, iovAddress, iovCount, offsetBytes, rwFlags));
    }

    public static int fdatasync(int fd) {
        return (int) LibC.check(LibC.INSTANCE.fdatasync(fd));
    }

    public static int fsync(int fd) {
        return (int) LibC.check(LibC.INSTANCE.fsync(fd));
    }

    public static int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        return (int) LibC.check(LibC.INSTANCE.fallocate(fd, mode, offsetBytes, lengthBytes));
    }

    public static int ftruncate(int fd, long lengthBytes) {
        return (int) LibC.check(LibC.INSTANCE.ftruncate(fd, lengthBytes));
    }
}
