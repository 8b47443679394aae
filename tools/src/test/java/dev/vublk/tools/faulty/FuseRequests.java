// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.PosixFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The kernel's requests to a {@link FaultyDirectory}, in the words of linux/uapi/linux/fuse.h (version 7.31). Belongs to the
 * directory's thread.
 *
 * <pre>
 *   request  0 len  4 opcode  8 unique  16 nodeid  24 uid, gid, pid, …    40 arguments
 *   answer   0 len  4 -errno  8 unique                                    16 results
 * </pre>
 */
final class FuseRequests {
    private static final int ESTALE = 116;

    private static final int IN_HEADER_BYTES = 40;
    private static final int OUT_HEADER_BYTES = 16;
    private static final int WRITE_HEADER_BYTES = 40;

    private static final int FUSE_FORGET = 2;
    private static final int FUSE_MKNOD = 8;
    private static final int FUSE_STATFS = 17;
    private static final int FUSE_RELEASE = 18;
    private static final int FUSE_INIT = 26;
    private static final int FUSE_OPENDIR = 27;
    private static final int FUSE_READDIR = 28;
    private static final int FUSE_RELEASEDIR = 29;
    private static final int FUSE_INTERRUPT = 36;
    private static final int FUSE_DESTROY = 38;
    private static final int FUSE_BATCH_FORGET = 42;

    private static final int FUSE_ASYNC_READ = 1;
    private static final int FUSE_BIG_WRITES = 1 << 5;
    private static final int FUSE_ASYNC_DIO = 1 << 15;
    private static final int FUSE_MAX_PAGES = 1 << 22;
    private static final int WRITE_BYTES_MAX = 1 << 20;
    private static final int PAGE_BYTES = 4096;

    private static final int FOPEN_DIRECT_IO = 1;
    private static final int FATTR_MODE = 1;
    private static final int FATTR_SIZE = 1 << 3;
    private static final int S_IFREG = 0100000;
    private static final int DIRECTORY_MODE = 040755;
    private static final int DT_REG = 8;

    private final FaultyDirectory directory;
    private final FuseMount mount;

    FuseRequests(FaultyDirectory directory, FuseMount mount) {
        this.directory = directory;
        this.mount = mount;
    }

    /** Waits for a request and answers it; false when there will be none any more. */
    boolean answerNext() {
        ByteBuffer in = mount.receive();
        if (in == null) {
            return false;
        }
        int opcode = in.getInt(4);
        if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) {
            return true; // These want no answer.
        }
        ByteBuffer out = mount.reply().position(OUT_HEADER_BYTES);
        int errno;
        // What is seen by others is what a whole call leaves.
        synchronized (directory) {
            errno = answer(opcode, in.getLong(16), in.position(IN_HEADER_BYTES), out);
        }
        int length = errno == 0 ? out.position() : OUT_HEADER_BYTES;
        out.putInt(0, length).putInt(4, -errno).putLong(8, in.getLong(8));
        mount.send(length);
        return true;
    }

    /** Returns an errno; results go behind the header. */
    private int answer(int opcode, long node, ByteBuffer in, ByteBuffer out) {
        FileCall call = FileCall.of(opcode);
        if (call != null) {
            MemoryFile file = directory.node(node);
            if (file == null && node != FaultyDirectory.ROOT) {
                return ESTALE;
            }
            int failed = fault(call, file, in);
            return failed != 0 ? failed : answer(call, file, in, out);
        }
        switch (opcode) {
            case FUSE_INIT -> init(in, out);
            case FUSE_STATFS -> statfs(out);
            case FUSE_MKNOD -> putEntry(out, directory.create(name(in.position(in.position() + 16)), in.getInt(40)));
            case FUSE_OPENDIR -> putOpened(out);
            case FUSE_READDIR -> readDirectory(in.getLong(in.position() + 8), in.getInt(in.position() + 16), out);
            case FUSE_RELEASE, FUSE_RELEASEDIR, FUSE_DESTROY -> {}
            default -> {
                return Errno.ENOSYS;
            }
        }
        return 0;
    }

    private int fault(FileCall call, @Nullable MemoryFile file, ByteBuffer in) {
        int at = in.position();
        String name = file == null ? "" : file.name;
        return switch (call) {
            case READ, WRITE -> directory.errnoOf(call, name, in.getLong(at + 8), in.getInt(at + 16));
            case LOOKUP, UNLINK -> directory.errnoOf(call, name(in.slice()), 0, 1);
            case LINK -> directory.errnoOf(call, name(in.slice().position(8)), 0, 1);
            case RENAME -> directory.errnoOf(call, name(in.slice().position(8)), 0, 1);
            case CREATE -> directory.errnoOf(call, name(in.slice().position(16)), 0, 1);
            default -> directory.errnoOf(call, name, 0, 1);
        };
    }

    /** @param file null is the directory */
    private int answer(FileCall call, @Nullable MemoryFile file, ByteBuffer in, ByteBuffer out) {
        return file == null ? answer(call, in, out) : answerOf(file, call, in, out);
    }

    private int answer(FileCall call, ByteBuffer in, ByteBuffer out) {
        switch (call) {
            case LOOKUP -> {
                MemoryFile found = directory.named(name(in));
                if (found == null) {
                    return Errno.ENOENT;
                }
                putEntry(out, found);
            }
            case GETATTR -> putAttributes(out, null);
            case CREATE -> {
                int mode = S_IFREG | in.getInt(in.position() + 4);
                putEntry(out, directory.create(name(in.position(in.position() + 16)), mode));
                putOpened(out);
            }
            case UNLINK -> {
                return directory.remove(name(in));
            }
            case RENAME -> {
                String from = name(in.position(in.position() + 8));
                return directory.rename(from, name(in));
            }
            case LINK -> {
                MemoryFile linked = directory.node(in.getLong());
                if (linked == null) {
                    return ESTALE;
                }
                directory.link(linked, name(in));
                putEntry(out, linked);
            }
            case FSYNC_DIRECTORY -> {}
            default -> {
                return Errno.ENOSYS;
            }
        }
        return 0;
    }

    private static int answerOf(MemoryFile file, FileCall call, ByteBuffer in, ByteBuffer out) {
        switch (call) {
            case GETATTR -> putAttributes(out, file);
            case SETATTR -> setAttributes(file, in, out);
            case OPEN -> putOpened(out);
            case READ -> {
                int at = in.position();
                file.read(in.getLong(at + 8), in.getInt(at + 16), out);
            }
            case WRITE -> write(file, in, out);
            case ALLOCATE -> allocate(file, in.position(in.position() + 8));
            case SEEK -> {
                return seek(file, in.position(in.position() + 8), out);
            }
            case FSYNC, FLUSH -> {}
            default -> {
                return Errno.ENOSYS;
            }
        }
        return 0;
    }

    /** A name that ends with a zero byte; the position is behind it then. */
    private static String name(ByteBuffer in) {
        int start = in.position();
        while (in.get() != 0) {
            // Look on.
        }
        byte[] bytes = new byte[in.position() - 1 - start];
        in.get(start, bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static void init(ByteBuffer in, ByteBuffer out) {
        int readaheadMax = in.getInt(in.position() + 8);
        out.putInt(7).putInt(31).putInt(readaheadMax);
        out.putInt(FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES);
        out.putShort((short) 64).putShort((short) 48).putInt(WRITE_BYTES_MAX).putInt(1);
        out.putShort((short) (WRITE_BYTES_MAX / PAGE_BYTES)).putShort((short) 0);
        out.put(new byte[32]);
    }

    private static void statfs(ByteBuffer out) {
        out.putLong(1 << 20).putLong(1 << 20).putLong(1 << 20).putLong(1 << 20).putLong(1 << 20);
        out.putInt(PAGE_BYTES).putInt(255).putInt(PAGE_BYTES);
        out.put(new byte[28]);
    }

    private static void putOpened(ByteBuffer out) {
        out.putLong(0).putInt(FOPEN_DIRECT_IO).putInt(0);
    }

    /** Nothing is kept by the kernel: validity is 0. */
    private static void putEntry(ByteBuffer out, MemoryFile file) {
        out.putLong(file.node).putLong(0).putLong(0).putLong(0).putInt(0).putInt(0);
        putFacts(out, file);
    }

    private static void putAttributes(ByteBuffer out, @Nullable MemoryFile file) {
        out.putLong(0).putInt(0).putInt(0);
        putFacts(out, file);
    }

    private static void putFacts(ByteBuffer out, @Nullable MemoryFile file) {
        long changed = file == null ? 0 : file.changed;
        out.putLong(file == null ? FaultyDirectory.ROOT : file.node);
        out.putLong(file == null ? 0 : file.size()).putLong(file == null ? 0 : file.blocks());
        for (int i = 0; i < 3; i++) {
            out.putLong(changed / 1_000_000_000);
        }
        for (int i = 0; i < 3; i++) {
            out.putInt((int) (changed % 1_000_000_000));
        }
        out.putInt(file == null ? DIRECTORY_MODE : file.mode).putInt(file == null ? 2 : file.linkCount);
        out.putInt(0).putInt(0).putInt(0).putInt(PAGE_BYTES).putInt(0);
    }

    private static void setAttributes(MemoryFile file, ByteBuffer in, ByteBuffer out) {
        int at = in.position();
        int valid = in.getInt(at);
        if ((valid & FATTR_SIZE) != 0) {
            file.setSize(in.getLong(at + 16));
        }
        if ((valid & FATTR_MODE) != 0) {
            file.mode = S_IFREG | (in.getInt(at + 68) & 07777);
        }
        putAttributes(out, file);
    }

    private static void write(MemoryFile file, ByteBuffer in, ByteBuffer out) {
        long offset = in.getLong(in.position() + 8);
        int length = in.getInt(in.position() + 16);
        in.position(in.position() + WRITE_HEADER_BYTES);
        file.write(offset, in.slice(in.position(), length));
        out.putInt(length).putInt(0);
    }

    private static void allocate(MemoryFile file, ByteBuffer in) {
        long offset = in.getLong();
        long length = in.getLong();
        int mode = in.getInt();
        if ((mode & (PosixFile.FALLOC_FL_PUNCH_HOLE | PosixFile.FALLOC_FL_ZERO_RANGE)) != 0) {
            file.zero(offset, length);
        }
        if ((mode & PosixFile.FALLOC_FL_KEEP_SIZE) == 0 && offset + length > file.size()) {
            file.setSize(offset + length);
        }
    }

    private static int seek(MemoryFile file, ByteBuffer in, ByteBuffer out) {
        long offset = in.getLong();
        boolean hole = in.getInt() == PosixFile.SEEK_HOLE;
        long found = offset < file.size() ? file.seek(offset, hole) : file.size();
        if (offset >= file.size() || (!hole && found == file.size())) {
            return Errno.ENXIO;
        }
        out.putLong(found);
        return 0;
    }

    private void readDirectory(long from, int lengthMax, ByteBuffer out) {
        List<String> names = directory.files();
        int end = out.position() + lengthMax;
        for (int i = (int) from; i < names.size(); i++) {
            byte[] name = names.get(i).getBytes(StandardCharsets.UTF_8);
            int padding = -name.length & 7;
            if (out.position() + 24 + name.length + padding > end) {
                return;
            }
            out.putLong(i + 2).putLong(i + 1).putInt(name.length).putInt(DT_REG);
            out.put(name).put(new byte[padding]);
        }
    }
}
