// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeFunction;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** A mounted file system whose requests are taken and answered one by one. Requests by one thread, closed by another. */
final class FuseMount implements AutoCloseable {
    /** The longest write, and its headers. */
    private static final int REQUEST_BYTES = (1 << 20) + 4096;

    private static final int UMOUNT_DETACH = 2;
    private static final NativeFunction MOUNT = NativeFunction.of("mount");
    private static final NativeFunction UMOUNT = NativeFunction.of("umount2");
    private static final NativeFunction READ = NativeFunction.of("read");
    private static final NativeFunction WRITE = NativeFunction.of("write");

    private final Path directory;
    private final int fd;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment request = arena.allocate(REQUEST_BYTES);
    private final MemorySegment reply = arena.allocate(REQUEST_BYTES);
    private final MemorySegment errno = arena.allocate(8);

    private FuseMount(Path directory, int fd) {
        this.directory = directory;
        this.fd = fd;
    }

    /** Mounts over an empty directory; skips the test, with the reason, where that cannot be. */
    static FuseMount over(Path directory) throws IOException {
        Assumptions.assumeTrue(
                System.getProperty("user.name", "").equals("root"), "skipped: mounting a FUSE file system needs root");
        Assumptions.assumeTrue(Files.exists(Path.of("/dev/fuse")), "skipped: this kernel has no FUSE (/dev/fuse)");
        int fd = PosixFile.open("/dev/fuse", PosixFile.O_RDWR);
        Assumptions.assumeTrue(fd >= 0, () -> "skipped: /dev/fuse cannot be opened: " + Errno.describe(fd));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = arena.allocate(8);
            long options = arena.allocateFrom("fd=" + fd + ",rootmode=40000,user_id=0,group_id=0")
                    .address();
            long result = MOUNT.call(
                    errno,
                    arena.allocateFrom("faulty").address(),
                    arena.allocateFrom(directory.toString()).address(),
                    arena.allocateFrom("fuse.faulty").address(),
                    0,
                    options,
                    0,
                    0);
            if ((int) result != 0) {
                PosixFile.close(fd);
            }
            Assumptions.assumeTrue(
                    (int) result == 0,
                    () -> "skipped: a FUSE file system cannot be mounted: "
                            + Errno.describe(-NativeFunction.errno(errno)));
        }
        return new FuseMount(directory, fd);
    }

    /** Waits for the next request; null when the file system is no longer mounted. */
    @org.jspecify.annotations.Nullable
    ByteBuffer receive() {
        while (true) {
            long length = READ.call(errno, fd, request.address(), REQUEST_BYTES, 0, 0, 0, 0);
            if (length > 0) {
                return request.asSlice(0, length).asByteBuffer().order(ByteOrder.nativeOrder());
            }
            // ENOENT: the request was interrupted before it was read.
            if (NativeFunction.errno(errno) != Errno.ENOENT && NativeFunction.errno(errno) != Errno.EINTR) {
                return null;
            }
        }
    }

    /** Where an answer is put together, whose header is written last. */
    ByteBuffer reply() {
        return reply.asByteBuffer().order(ByteOrder.nativeOrder());
    }

    /** Sends what was put together; nobody may wait for it any more. */
    void send(int lengthBytes) {
        WRITE.call(errno, fd, reply.address(), lengthBytes, 0, 0, 0, 0);
    }

    /** Unmounts: whoever waits in {@link #receive} is told. */
    void unmount() {
        try (Arena names = Arena.ofConfined()) {
            UMOUNT.call(
                    names.allocate(8),
                    names.allocateFrom(directory.toString()).address(),
                    UMOUNT_DETACH,
                    0,
                    0,
                    0,
                    0,
                    0);
        }
    }

    /** After the last request. */
    @Override
    public void close() {
        PosixFile.close(fd);
        arena.close();
    }
}
