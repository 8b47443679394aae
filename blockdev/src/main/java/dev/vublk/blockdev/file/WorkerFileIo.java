// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.FileCall.Operation;
import java.util.ArrayList;

/**
 * The threads engine: each system call is one task for a worker thread. Runs on its loop; tasks are pooled, so that a
 * call allocates nothing once as many were under way before.
 */
final class WorkerFileIo implements FileIo {
    private final IoContext context;
    private final int fd;

    /** Tasks at rest; those under way are held by their callers' frames. */
    private final ArrayList<FileCall> idle = new ArrayList<>();

    WorkerFileIo(IoContext context, int fd) {
        this.context = context;
        this.fd = fd;
    }

    @Override
    public int readv(long iovAddress, int iovCount, long offsetBytes) {
        return run(Operation.READV, iovAddress, iovCount, offsetBytes, 0, 0);
    }

    @Override
    public int writev(long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return run(Operation.WRITEV, iovAddress, iovCount, offsetBytes, 0, rwFlags);
    }

    @Override
    public int read(long address, int lengthBytes, long offsetBytes) {
        return run(Operation.READ, address, lengthBytes, offsetBytes, 0, 0);
    }

    @Override
    public int write(long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return run(Operation.WRITE, address, lengthBytes, offsetBytes, 0, rwFlags);
    }

    @Override
    public int fdatasync() {
        return run(Operation.FDATASYNC, 0, 0, 0, 0, 0);
    }

    @Override
    public int fallocate(int mode, long offsetBytes, long lengthBytes) {
        return run(Operation.FALLOCATE, 0, 0, offsetBytes, lengthBytes, mode);
    }

    @Override
    public int ioctlOnRange(int request, long offsetBytes, long lengthBytes) {
        return run(Operation.IOCTL, 0, 0, offsetBytes, lengthBytes, request);
    }

    @Override
    public void pause() {
        run(Operation.PAUSE, 0, 0, 0, 0, 0);
    }

    private int run(Operation operation, long address, int count, long offsetBytes, long lengthBytes, int flags) {
        FileCall call = idle.isEmpty() ? new FileCall() : idle.removeLast();
        call.operation = operation;
        call.fd = fd;
        call.address = address;
        call.count = count;
        call.offsetBytes = offsetBytes;
        call.lengthBytes = lengthBytes;
        call.flags = flags;
        int result = context.runBlocking(call);
        idle.add(call);
        return result;
    }

    @Override
    public void close() {
        idle.forEach(FileCall::free);
        idle.clear();
    }
}
