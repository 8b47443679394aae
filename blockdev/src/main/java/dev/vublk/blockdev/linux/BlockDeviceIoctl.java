// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/** The ioctls of block devices ({@code linux/fs.h}). Any thread; a value or 0, or a negative errno. */
public final class BlockDeviceIoctl {
    public static final int BLKDISCARD = 0x1277; // _IO(0x12, 119)
    public static final int BLKSECDISCARD = 0x127d; // _IO(0x12, 125)
    public static final int BLKZEROOUT = 0x127f; // _IO(0x12, 127)
    private static final int BLKSSZGET = 0x1268; // _IO(0x12, 104)
    private static final int BLKIOMIN = 0x1278; // _IO(0x12, 120)
    private static final int BLKIOOPT = 0x1279; // _IO(0x12, 121)
    private static final int BLKPBSZGET = 0x127b; // _IO(0x12, 123)
    private static final long BLKGETSIZE64 = 0x80081272L; // _IOR(0x12, 114, size_t)

    private BlockDeviceIoctl() {}

    /** The device's size in bytes. */
    public static long sizeBytes(int fd) {
        long value = NativeMemory.allocateZeroed(Long.BYTES);
        try {
            long result = LibC.ioctl(fd, BLKGETSIZE64, value);
            return result < 0 ? result : NativeMemory.getLong(value);
        } finally {
            NativeMemory.free(value);
        }
    }

    public static int logicalBlockBytes(int fd) {
        return intValue(fd, BLKSSZGET);
    }

    public static int physicalBlockBytes(int fd) {
        return intValue(fd, BLKPBSZGET);
    }

    public static int minIoBytes(int fd) {
        return intValue(fd, BLKIOMIN);
    }

    public static int optimalIoBytes(int fd) {
        return intValue(fd, BLKIOOPT);
    }

    /**
     * {@link #BLKDISCARD}, {@link #BLKSECDISCARD} or {@link #BLKZEROOUT} of a range.
     *
     * @param scratchAddress 16 bytes for {@code uint64_t range[2]}
     */
    public static int onRange(int fd, int request, long offsetBytes, long lengthBytes, long scratchAddress) {
        NativeMemory.putLong(scratchAddress, offsetBytes);
        NativeMemory.putLong(scratchAddress + 8, lengthBytes);
        return LibC.ioctl(fd, request, scratchAddress);
    }

    private static int intValue(int fd, long request) {
        long value = NativeMemory.allocateZeroed(Long.BYTES);
        try {
            long result = LibC.ioctl(fd, request, value);
            return result < 0 ? (int) result : NativeMemory.getInt(value);
        } finally {
            NativeMemory.free(value);
        }
    }
}
