// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.ImageInUseException;
import dev.vublk.blockdev.linux.BlockDeviceIoctl;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.util.Locale;

/**
 * An image file that no guest is using, for tools: every call blocks until it is done, and throws one line for the user when it
 * cannot be. One thread at a time, which must not be an IOThread's.
 *
 * <p>Not final: tests make it fail, and cut its power.
 */
public class OfflineFile implements AutoCloseable {
    private final int fd;
    private final String name;
    private final boolean owned;

    private OfflineFile(int fd, String name, boolean owned) {
        this.fd = fd;
        this.name = name;
        this.owned = owned;
    }

    /** A file that somebody else has opened, and will close. */
    protected OfflineFile(int fd, String name) {
        this(fd, name, false);
    }

    /** A file that somebody else has opened, and will close; {@code name} is for messages. */
    public static OfflineFile of(int fd, String name) {
        return new OfflineFile(fd, name);
    }

    /**
     * Opens a regular file or block device, and locks it as QEMU's tools do: a reader keeps writers away, a writer everybody.
     *
     * @param forceShare open without regard to anybody's locks; for reading only
     */
    public static OfflineFile open(String path, boolean writable, boolean forceShare) throws BlockOpenException {
        return open(path, path, writable, forceShare);
    }

    /** Opens a new file for writing that will get another name when it is whole; messages call it by that one. */
    public static OfflineFile openTemporary(String path, String name) throws BlockOpenException {
        return open(path, name, true, false);
    }

    private static OfflineFile open(String path, String name, boolean writable, boolean forceShare)
            throws BlockOpenException {
        if (writable && forceShare) {
            throw new BlockOpenException(path + ": force-share ignores everybody's locks and is for reading only");
        }
        checkKind(path, name);
        int fd = PosixFile.open(path, writable ? PosixFile.O_RDWR : PosixFile.O_RDONLY);
        if (fd < 0) {
            throw new BlockOpenException(name + ": cannot be opened for "
                    + (writable ? "reading and writing: " : "reading: ") + Errno.describe(fd));
        }
        try {
            ImageLock.acquire(fd, BlockOptions.of(path).withReadOnly(!writable).withForceShare(forceShare));
        } catch (ImageInUseException inUse) {
            PosixFile.close(fd);
            throw inUse.withRemedy(writable ? "end that first" : "-U reads it all the same");
        } catch (Throwable failure) {
            PosixFile.close(fd);
            throw failure;
        }
        return new OfflineFile(fd, name, true);
    }

    /** Before opening: opening a FIFO would wait for a writer, opening some devices has effects. */
    private static void checkKind(String path, String name) throws BlockOpenException {
        Kind kind;
        try {
            kind = FileStatus.of(path).kind();
        } catch (IOException e) {
            throw new BlockOpenException(name + ": cannot be opened: " + e.getMessage());
        }
        if (kind != Kind.REGULAR_FILE && kind != Kind.BLOCK_DEVICE) {
            throw new BlockOpenException(name + ": is " + kind + ", not a regular file or a block device");
        }
    }

    /** What messages call it: its path. */
    public final String name() {
        return name;
    }

    public final int fd() {
        return fd;
    }

    /** What the kernel knows of it. */
    public FileStatus status() throws IOException {
        try {
            return FileStatus.of(fd);
        } catch (IOException e) {
            throw new IOException(name + ": cannot be measured: " + e.getMessage(), e);
        }
    }

    /** How long it is; a block device, how large. */
    public long sizeBytes() throws IOException {
        FileStatus status = status();
        if (status.kind() != Kind.BLOCK_DEVICE) {
            return status.sizeBytes();
        }
        long sizeBytes = BlockDeviceIoctl.sizeBytes(fd);
        return check(sizeBytes, "cannot be measured");
    }

    /** Reads into native memory; what lies behind the end of the file is zeroes. */
    public void read(long address, long offsetBytes, int lengthBytes) throws IOException {
        int done = 0;
        while (done < lengthBytes) {
            int result = PosixFile.read(fd, address + done, lengthBytes - done, offsetBytes + done);
            if (result == -Errno.EINTR) {
                continue;
            }
            check(result, "cannot be read at offset " + (offsetBytes + done));
            if (result == 0) {
                NativeMemory.zero(address + done, lengthBytes - done);
                return;
            }
            done += result;
        }
    }

    /** Reads into a new array; what lies behind the end of the file is zeroes. */
    public final byte[] read(long offsetBytes, int lengthBytes) throws IOException {
        byte[] bytes = new byte[lengthBytes];
        long buffer = NativeMemory.allocateZeroed(Math.max(lengthBytes, 1));
        try {
            read(buffer, offsetBytes, lengthBytes);
            NativeMemory.get(buffer, bytes, 0, lengthBytes);
            return bytes;
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** Writes native memory, all of it. */
    public void write(long address, long offsetBytes, int lengthBytes) throws IOException {
        int done = 0;
        while (done < lengthBytes) {
            int result = PosixFile.write(fd, address + done, lengthBytes - done, offsetBytes + done);
            if (result == -Errno.EINTR) {
                continue;
            }
            done += (int) check(result, "cannot be written at offset " + (offsetBytes + done));
        }
    }

    /** Writes an array, all of it. */
    public final void write(byte[] bytes, long offsetBytes) throws IOException {
        long buffer = NativeMemory.allocateZeroed(Math.max(bytes.length, 1));
        try {
            NativeMemory.put(bytes, 0, buffer, bytes.length);
            write(buffer, offsetBytes, bytes.length);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** Makes everything written so far stable. */
    public void sync() throws IOException {
        check(PosixFile.fsync(fd), "cannot be made stable");
    }

    /** Cuts the file, or lets it grow by a hole. */
    public void setSize(long sizeBytes) throws IOException {
        check(PosixFile.ftruncate(fd, sizeBytes), "cannot be made " + sizeBytes + " bytes long");
    }

    /** Gives a range of the file space, within its length or behind it; the file then reaches its end. */
    public void allocate(long offsetBytes, long lengthBytes) throws IOException {
        check(
                PosixFile.fallocate(fd, 0, offsetBytes, lengthBytes),
                "no space for " + String.format(Locale.ROOT, "%d bytes at offset %d", lengthBytes, offsetBytes));
    }

    private long check(long result, String what) throws IOException {
        if (result < 0) {
            throw new IOException(name + ": " + what + ": " + Errno.describe((int) result));
        }
        return result;
    }

    /** Gives its locks up. Does not make anything stable. */
    @Override
    public void close() {
        if (owned) {
            PosixFile.close(fd);
        }
    }
}
