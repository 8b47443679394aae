// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import jnr.ffi.Pointer;

/** mmap(2) of shared memory, and memory files to share. Any thread. */
public final class SharedMapping {
    /** 4 KiB on x86-64; a multiple of it on arm64 kernels with larger pages, which would need another constant. */
    public static final int PAGE_SIZE_BYTES = 4096;

    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int PROT_NONE = 0;
    private static final int MAP_SHARED = 1;
    private static final int MAP_PRIVATE = 2;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MAP_NORESERVE = 0x4000;
    private static final int MAP_FIXED = 0x10;
    private static final int MREMAP_MAYMOVE_FIXED = 3;
    private static final int MFD_CLOEXEC = 1;
    private static final int MFD_ALLOW_SEALING = 2;
    private static final int MFD_HUGETLB = 4;

    private static final int F_ADD_SEALS = 1033;
    private static final int F_GET_SEALS = 1034;
    private static final int F_SEAL_SEAL = 1;
    private static final int F_SEAL_SHRINK = 2;
    private static final int F_SEAL_GROW = 4;

    private SharedMapping() {}

    /** Maps part of a file for reading and writing. The address, or a negative errno. */
    public static long map(int fd, long offsetBytes, long lengthBytes) {
        int protection = PROT_READ | PROT_WRITE;
        return LibC.check(
                LibC.INSTANCE.mmap(null, lengthBytes, protection, MAP_SHARED | MAP_NORESERVE, fd, offsetBytes));
    }

    /** Addresses that nothing else gets and that cannot be touched, to put {@link #alias}es there. Or a negative errno. */
    public static long reserve(long lengthBytes) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        return LibC.check(LibC.INSTANCE.mmap(null, lengthBytes, PROT_NONE, flags, -1, 0));
    }

    /**
     * Lets pages of a shared mapping appear at another place too; everything is a multiple of the page size, of the file's pages,
     * too. Returns {@code target} or a negative errno.
     */
    public static long alias(long source, long lengthBytes, long target) {
        // mremap(2): "If the value of old_size is zero, and old_address refers to a shareable mapping, then mremap()
        // will
        // create a new mapping of the same pages."
        return LibC.check(LibC.INSTANCE.mremap(source, 0, lengthBytes, MREMAP_MAYMOVE_FIXED, target));
    }

    /** Puts addresses that cannot be touched in the place of whatever is mapped there. 0 or a negative errno. */
    public static int cover(long address, long lengthBytes) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
        Pointer place = Pointer.wrap(LibC.RUNTIME, address);
        return (int) Math.min(0, LibC.check(LibC.INSTANCE.mmap(place, lengthBytes, PROT_NONE, flags, -1, 0)));
    }

    /** Nobody may touch the range any more: a later access ends the process. 0 or a negative errno. */
    public static int unmap(long address, long lengthBytes) {
        return (int) LibC.check(LibC.INSTANCE.munmap(address, lengthBytes));
    }

    /** A new memory file without a name in any directory: its descriptor, or a negative errno. */
    public static int createMemoryFile(String name, long sizeBytes) {
        return createMemoryFile(name, sizeBytes, MFD_CLOEXEC);
    }

    /** As {@link #createMemoryFile}, of huge pages of the default size; {@code sizeBytes} is a multiple of it. */
    public static int createHugePageFile(String name, long sizeBytes) {
        return createMemoryFile(name, sizeBytes, MFD_CLOEXEC | MFD_HUGETLB);
    }

    /** As {@link #createMemoryFile}, with a length that nobody can change any more: accesses to it never fault. */
    public static int createSealedFile(String name, long sizeBytes) {
        int fd = createMemoryFile(name, sizeBytes, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0) {
            return fd;
        }
        int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
        int result = (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_ADD_SEALS, seals));
        if (result < 0) {
            LibC.INSTANCE.close(fd);
            return result;
        }
        return fd;
    }

    private static int createMemoryFile(String name, long sizeBytes, int flags) {
        int fd = (int) LibC.check(LibC.INSTANCE.memfd_create(name, flags));
        if (fd < 0) {
            return fd;
        }
        int result = resize(fd, sizeBytes);
        if (result < 0) {
            LibC.INSTANCE.close(fd);
            return result;
        }
        return fd;
    }

    /** Whether a file is sealed so that it can never shrink; only memory files can be. */
    public static boolean isUnshrinkable(int fd) {
        int seals = LibC.INSTANCE.fcntl(fd, F_GET_SEALS, 0);
        return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
    }

    /** Sets a file's length. 0 or a negative errno. */
    public static int resize(int fd, long sizeBytes) {
        return (int) LibC.check(LibC.INSTANCE.ftruncate(fd, sizeBytes));
    }
}
