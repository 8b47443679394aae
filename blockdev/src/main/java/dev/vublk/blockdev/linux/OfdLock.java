// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/**
 * Open-file-description locks of single bytes ({@code fcntl(2)}). They belong to the open file description: the lock is
 * gone when the last descriptor of it is closed. Any thread.
 */
public final class OfdLock {
    private static final int F_OFD_GETLK = 36;
    private static final int F_OFD_SETLK = 37;
    private static final short F_RDLCK = 0;
    private static final short F_WRLCK = 1;
    private static final short F_UNLCK = 2;

    // struct flock: l_type 0, l_whence 2, l_start 8, l_len 16, l_pid 24 (must be 0), size 32
    private static final int STRUCT_FLOCK_BYTES = 32;
    private static final int L_TYPE = 0;
    private static final int L_START = 8;
    private static final int L_LEN = 16;

    private OfdLock() {}

    /** Takes a shared lock of the byte at {@code offsetBytes}, without waiting: 0 or a negative errno. */
    public static int lockShared(int fd, long offsetBytes) {
        long flock = flock(F_RDLCK, offsetBytes);
        try {
            return LibC.fcntl(fd, F_OFD_SETLK, flock);
        } finally {
            NativeMemory.free(flock);
        }
    }

    /** Gives locks of {@code count} bytes up, those that are held. 0 or a negative errno. */
    public static int unlock(int fd, long offsetBytes, int count) {
        long flock = flock(F_UNLCK, offsetBytes);
        NativeMemory.putLong(flock + L_LEN, count);
        try {
            return LibC.fcntl(fd, F_OFD_SETLK, flock);
        } finally {
            NativeMemory.free(flock);
        }
    }

    /** Asks whether somebody else's lock would be in the way of an exclusive lock: 1, 0 or a negative errno. */
    public static int hasConflict(int fd, long offsetBytes) {
        long flock = flock(F_WRLCK, offsetBytes);
        try {
            int result = LibC.fcntl(fd, F_OFD_GETLK, flock);
            return result < 0 ? result : NativeMemory.getShort(flock + L_TYPE) == F_UNLCK ? 0 : 1;
        } finally {
            NativeMemory.free(flock);
        }
    }

    private static long flock(short type, long offsetBytes) {
        long flock = NativeMemory.allocateZeroed(STRUCT_FLOCK_BYTES); // l_whence 0 = SEEK_SET
        NativeMemory.putShort(flock + L_TYPE, type);
        NativeMemory.putLong(flock + L_START, offsetBytes);
        NativeMemory.putLong(flock + L_LEN, 1);
        return flock;
    }
}
