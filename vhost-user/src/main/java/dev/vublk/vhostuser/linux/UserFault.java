// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * userfaultfd(2): pages of shared memory that somebody else brings when they are first touched. Any thread.
 *
 * <p>A descriptor has three lives: {@link #create}, {@link #register} of mappings, and then whoever has it reads which page is
 * wanted, puts it into the file, and wakes the thread that waits.
 */
public final class UserFault {
    /** Who may open this may use faults of the kernel too; the system call wants a privilege or a sysctl for that. */
    private static final String DEVICE = "/dev/userfaultfd";

    private static final long SYS_USERFAULTFD = System.getProperty("os.arch").equals("aarch64") ? 282 : 323;
    private static final int O_RDWR = 2;
    private static final int O_CLOEXEC = 0x80000;
    private static final int O_NONBLOCK = 0x800;

    // _IO(0xaa, 0), _IOWR(0xaa, 0x3f, 24), _IOWR(0xaa, 0, 32), _IOR(0xaa, 1, 16), _IOR(0xaa, 2, 16)
    private static final long USERFAULTFD_IOC_NEW = 0xaa00L;
    private static final long UFFDIO_API = 0xc018_aa3fL;
    private static final long UFFDIO_REGISTER = 0xc020_aa00L;
    private static final long UFFDIO_UNREGISTER = 0x8010_aa01L;
    private static final long UFFDIO_WAKE = 0x8010_aa02L;

    private static final long UFFD_API = 0xaa;
    private static final long UFFD_FEATURE_MISSING_HUGETLBFS = 1 << 4;
    private static final long UFFD_FEATURE_MISSING_SHMEM = 1 << 5;
    private static final long UFFDIO_REGISTER_MODE_MISSING = 1;

    private static final int MADV_POPULATE_WRITE = 23;

    private static final boolean AVAILABLE = probe();

    private UserFault() {}

    /** Whether the kernel has all of this (Linux 5.14), and lets this process use it. */
    public static boolean isAvailable() {
        return AVAILABLE;
    }

    private static boolean probe() {
        int fd = create();
        if (fd < 0) {
            return false;
        }
        LibC.INSTANCE.close(fd);
        // Of nothing: an advice that is not known is refused all the same.
        return LibC.INSTANCE.madvise(0, 0, MADV_POPULATE_WRITE) == 0;
    }

    /** A new descriptor for faults of this process, also those in the kernel; or a negative errno. */
    public static int create() {
        int fd = open();
        if (fd < 0) {
            return fd;
        }
        long features = UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS;
        int result = control(fd, UFFDIO_API, UFFD_API, features, 0, 0);
        if (result < 0) {
            LibC.INSTANCE.close(fd);
            return result;
        }
        return fd;
    }

    private static int open() {
        int device = (int) LibC.check(LibC.INSTANCE.open(DEVICE, O_RDWR | O_CLOEXEC));
        if (device < 0) {
            return (int) LibC.check(LibC.INSTANCE.syscall(SYS_USERFAULTFD, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0));
        }
        int fd = (int) LibC.check(LibC.INSTANCE.ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
        LibC.INSTANCE.close(device);
        return fd;
    }

    /** From now on a page of the mapping that its file does not have is waited for. 0 or a negative errno. */
    public static int register(int fd, long address, long lengthBytes) {
        return control(fd, UFFDIO_REGISTER, address, lengthBytes, UFFDIO_REGISTER_MODE_MISSING, 0);
    }

    /** Missing pages are empty ones again; who waits for one goes on. 0 or a negative errno. */
    public static int unregister(int fd, long address, long lengthBytes) {
        return control(fd, UFFDIO_UNREGISTER, address, lengthBytes, 0, 0);
    }

    /** Lets whoever waits for a page of the range look again. 0 or a negative errno. */
    public static int wake(int fd, long address, long lengthBytes) {
        return control(fd, UFFDIO_WAKE, address, lengthBytes, 0, 0);
    }

    /** All structures are of longs: what is asked for first. */
    private static int control(int fd, long request, long a, long b, long c, long d) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment argument = arena.allocateFrom(ValueLayout.JAVA_LONG, a, b, c, d);
            return (int) LibC.check(LibC.INSTANCE.ioctl(fd, request, argument.address()));
        }
    }

    /**
     * Touches whole pages, as for writing, and so waits until they are there. It waits in the kernel: a safepoint of the virtual
     * machine does not wait for it, as it would for a thread whose own access waits. 0 or a negative errno, {@code EINTR} too.
     */
    public static int touch(long address, long lengthBytes) {
        return (int) LibC.check(LibC.INSTANCE.madvise(address, lengthBytes, MADV_POPULATE_WRITE));
    }
}
