// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * What statx(2) says of a file. statx rather than stat, because its structure is the same on every architecture.
 *
 * @param mode type and permission bits
 * @param sizeBytes length of a regular file
 * @param blockSizeBytes preferred block size; the size of a huge page on hugetlbfs
 * @param inode number of the file within its device
 * @param device the device, major and minor packed in one value
 */
public record FileStatus(int mode, long sizeBytes, int blockSizeBytes, long inode, long device) {
    private static final int AT_FDCWD = -100;
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int AT_STATX_DONT_SYNC = 0x4000;
    private static final int STATX_BASIC_STATS = 0x7ff;

    private static final int S_IFMT = 0xf000;
    private static final int S_IFSOCK = 0xc000;
    private static final int S_IFREG = 0x8000;
    private static final int S_IFIFO = 0x1000;
    private static final int NO_TYPE = 0;

    // struct statx
    private static final long STATX_SIZE_BYTES = 256;
    private static final long STX_BLKSIZE = 4;
    private static final long STX_MODE = 28;
    private static final long STX_INO = 32;
    private static final long STX_SIZE = 40;
    private static final long STX_DEV_MAJOR = 136;
    private static final long STX_DEV_MINOR = 140;

    /** The status of an open file, or null when the descriptor is not one. */
    public static @Nullable FileStatus ofDescriptor(int fd) {
        return statx(fd, "", AT_EMPTY_PATH);
    }

    /** The same as the kernel knows it, without asking whoever serves the file: of that the type is certain. */
    public static @Nullable FileStatus knownOfDescriptor(int fd) {
        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
    }

    /** The status of what is at a path (a symbolic link itself, not its target), or null when nothing can be seen there. */
    public static @Nullable FileStatus ofPath(String path) {
        return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    }

    private static @Nullable FileStatus statx(int directoryFd, String path, int flags) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment statx = arena.allocate(STATX_SIZE_BYTES, Long.BYTES);
            int result = LibC.INSTANCE.statx(directoryFd, path, flags, STATX_BASIC_STATS, statx.address());
            if (result < 0) {
                return null;
            }
            long major = statx.get(ValueLayout.JAVA_INT, STX_DEV_MAJOR);
            long minor = statx.get(ValueLayout.JAVA_INT, STX_DEV_MINOR);
            return new FileStatus(
                    statx.get(ValueLayout.JAVA_SHORT, STX_MODE) & 0xffff,
                    statx.get(ValueLayout.JAVA_LONG, STX_SIZE),
                    statx.get(ValueLayout.JAVA_INT, STX_BLKSIZE),
                    statx.get(ValueLayout.JAVA_LONG, STX_INO),
                    major << 32 | (minor & 0xffffffffL));
        }
    }

    public boolean isSocket() {
        return (mode & S_IFMT) == S_IFSOCK;
    }

    /** Whether it is an eventfd or one of its like, which have no type, a pipe, or a socket: what O_NONBLOCK is obeyed by. */
    public boolean isSignalOrStream() {
        int type = mode & S_IFMT;
        return type == NO_TYPE || type == S_IFIFO || type == S_IFSOCK;
    }

    public boolean isRegularFile() {
        return (mode & S_IFMT) == S_IFREG;
    }

    public boolean isSameFile(FileStatus other) {
        return inode == other.inode && device == other.device;
    }
}
