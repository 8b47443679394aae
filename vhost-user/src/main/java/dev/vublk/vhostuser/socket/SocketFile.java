// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.UnixSocket;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.nio.file.attribute.UserPrincipalNotFoundException;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** The file of a listening socket: made, given to whom it belongs, and removed as long as it is still ours. */
final class SocketFile {
    private static final PosixFilePermission[] PERMISSIONS_BY_BIT = {
        PosixFilePermission.OTHERS_EXECUTE,
        PosixFilePermission.OTHERS_WRITE,
        PosixFilePermission.OTHERS_READ,
        PosixFilePermission.GROUP_EXECUTE,
        PosixFilePermission.GROUP_WRITE,
        PosixFilePermission.GROUP_READ,
        PosixFilePermission.OWNER_EXECUTE,
        PosixFilePermission.OWNER_WRITE,
        PosixFilePermission.OWNER_READ,
    };

    private final String path;
    private final @Nullable FileStatus status;
    private final AtomicBoolean removed = new AtomicBoolean();

    private SocketFile(String path) {
        this.path = path;
        this.status = FileStatus.ofPath(path);
    }

    /**
     * Binds {@code fd} to the path of {@code options}, replacing a socket file that nobody listens on. Nobody can connect
     * before {@code listen}, so there is no moment at which the wrong people could.
     */
    static SocketFile bind(int fd, ListenerOptions options) throws IOException {
        String path = requireNonNull(options.path(), "path");
        checkLength(path);
        removeStale(path);
        int result = UnixSocket.bind(fd, path);
        if (result < 0) {
            throw new IOException(path + ": cannot bind: " + Errno.describe(result));
        }
        SocketFile file = new SocketFile(path);
        try {
            file.applyPermissions(options);
        } catch (IOException e) {
            file.remove();
            throw e;
        }
        return file;
    }

    private static void checkLength(String path) throws IOException {
        int length = path.getBytes(StandardCharsets.UTF_8).length;
        if (length == 0 || length > UnixSocket.PATH_BYTES_MAX) {
            throw new IOException(
                    path + ": a socket path has 1 to " + UnixSocket.PATH_BYTES_MAX + " bytes, not " + length);
        }
    }

    private static void removeStale(String path) throws IOException {
        FileStatus found = FileStatus.ofPath(path);
        if (found == null) {
            return;
        }
        if (!found.isSocket()) {
            throw new IOException(path + ": exists and is not a socket");
        }
        int result = probe(path);
        if (result == -Errno.ECONNREFUSED) {
            Files.deleteIfExists(Path.of(path));
        } else if (result != -Errno.ENOENT) {
            String reason = result == 0 || result == -Errno.EAGAIN ? "somebody listens there" : Errno.describe(result);
            throw new IOException(path + ": in use: " + reason);
        }
    }

    /** What connecting says; the connection is given up at once. */
    private static int probe(String path) throws IOException {
        int fd = UnixSocket.create();
        if (fd < 0) {
            throw new IOException("cannot create a socket: " + Errno.describe(fd));
        }
        try {
            return UnixSocket.connect(fd, path);
        } finally {
            FileDescriptor.close(fd);
        }
    }

    private void applyPermissions(ListenerOptions options) throws IOException {
        PosixFileAttributeView view =
                Files.getFileAttributeView(Path.of(path), PosixFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
        UserPrincipalLookupService principals = Path.of(path).getFileSystem().getUserPrincipalLookupService();
        if (options.owner() != null) {
            apply("user " + options.owner(), () -> view.setOwner(principals.lookupPrincipalByName(options.owner())));
        }
        if (options.group() != null) {
            apply(
                    "group " + options.group(),
                    () -> view.setGroup(principals.lookupPrincipalByGroupName(options.group())));
        }
        // Without NOFOLLOW_LINKS: Linux has no such chmod. The file was made by us a moment ago.
        apply(
                "mode 0" + Integer.toOctalString(options.mode()),
                () -> Files.setPosixFilePermissions(Path.of(path), permissions(options.mode())));
    }

    private interface FileChange {
        void apply() throws IOException;
    }

    private void apply(String what, FileChange change) throws IOException {
        try {
            change.apply();
        } catch (UserPrincipalNotFoundException e) {
            throw new IOException(path + ": there is no " + what, e);
        } catch (IOException e) {
            throw new IOException(path + ": cannot be given " + what + ": " + e.getMessage(), e);
        }
    }

    private static Set<PosixFilePermission> permissions(int mode) {
        Set<PosixFilePermission> permissions = EnumSet.noneOf(PosixFilePermission.class);
        for (int bit = 0; bit < PERMISSIONS_BY_BIT.length; bit++) {
            if ((mode & 1 << bit) != 0) {
                permissions.add(PERMISSIONS_BY_BIT[bit]);
            }
        }
        return permissions;
    }

    /**
     * Removes the file, once, unless another back end has put its own in its place. To be called before the socket is
     * closed: until then the inode number cannot have been given to another file. Any thread.
     */
    void remove() throws IOException {
        FileStatus now = FileStatus.ofPath(path);
        if (removed.compareAndSet(false, true) && status != null && now != null && status.isSameFile(now)) {
            Files.deleteIfExists(Path.of(path));
        }
    }
}
