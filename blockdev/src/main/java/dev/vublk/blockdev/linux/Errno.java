// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/** The errno numbers that disks know by name; the same on every Linux architecture that Java runs on. */
public final class Errno {
    public static final int EPERM = 1;
    public static final int ENOENT = 2;
    public static final int EINTR = 4;
    public static final int EIO = 5;
    public static final int ENXIO = 6;
    public static final int EAGAIN = 11;
    public static final int ENOMEM = 12;
    public static final int EACCES = 13;
    public static final int EFAULT = 14;
    public static final int EBUSY = 16;
    public static final int ENODEV = 19;
    public static final int EINVAL = 22;
    public static final int ENOTTY = 25;
    public static final int ENOSPC = 28;
    public static final int ESPIPE = 29;
    public static final int EROFS = 30;
    public static final int ENOSYS = 38;
    public static final int EOVERFLOW = 75;
    public static final int EOPNOTSUPP = 95;
    public static final int ETOOMANYREFS = 109;
    public static final int EDQUOT = 122;
    public static final int ECANCELED = 125;

    private Errno() {}

    /** The C library's words for a negative errno, for one line of an error message. */
    public static String describe(int negativeErrno) {
        return LibC.strerror(-negativeErrno);
    }

    /** Whether a negative errno says that the operation does not exist here, rather than that it went wrong. */
    public static boolean isUnsupported(int negativeErrno) {
        return switch (-negativeErrno) {
            case EOPNOTSUPP, ENOSYS, ENOTTY, ENODEV -> true;
            default -> false;
        };
    }
}
