// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.UnixSocket;
import java.nio.file.Files;
import java.nio.file.Path;

/** Two connected descriptors: what is written to the one is read from the other. */
final class Pipe implements AutoCloseable {
    private static final int CLOSED = -1;

    private int readFd;
    private int writeFd;

    Pipe() throws Exception {
        Path directory = Files.createTempDirectory("vublk-pipe");
        Path path = directory.resolve("s");
        int listenFd = UnixSocket.create();
        UnixSocket.bind(listenFd, path.toString());
        UnixSocket.listen(listenFd, 1);
        writeFd = UnixSocket.create();
        UnixSocket.connect(writeFd, path.toString());
        readFd = UnixSocket.accept(listenFd);
        FileDescriptor.close(listenFd);
        Files.delete(path);
        Files.delete(directory);
    }

    int writeFd() {
        return writeFd;
    }

    int readFd() {
        return readFd;
    }

    byte[] read(int count) {
        byte[] bytes = new byte[count];
        if (FileDescriptor.read(readFd, bytes) != count) {
            throw new AssertionError("nothing, or too little, was written");
        }
        return bytes;
    }

    void closeReadEnd() {
        if (readFd != CLOSED) {
            FileDescriptor.close(readFd);
            readFd = CLOSED;
        }
    }

    void closeWriteEnd() {
        if (writeFd != CLOSED) {
            FileDescriptor.close(writeFd);
            writeFd = CLOSED;
        }
    }

    @Override
    public void close() {
        closeReadEnd();
        closeWriteEnd();
    }
}
