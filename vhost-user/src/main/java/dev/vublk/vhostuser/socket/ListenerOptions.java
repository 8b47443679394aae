// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * Where front ends connect: a socket file to make, or a socket inherited from the parent process.
 *
 * @param path the socket file, or null for an inherited socket
 * @param inheritedFd the inherited socket, listening or already connected, or -1
 * @param mode permission bits of the socket file: who may connect
 * @param owner name or number of the user that is to own the socket file, or null
 * @param group name or number of its group, or null
 */
public record ListenerOptions(
        @Nullable String path,
        int inheritedFd,
        int mode,
        @Nullable String owner,
        @Nullable String group) {
    /** Only the user that runs the back end may connect: whoever may, can read and write the disk. */
    public static final int MODE_DEFAULT = 0600;

    public ListenerOptions {
        if ((path == null) == (inheritedFd < 0)) {
            throw new IllegalArgumentException("either a path or an inherited socket");
        }
        if ((mode & ~0777) != 0) {
            throw new IllegalArgumentException(
                    "mode 0" + Integer.toOctalString(mode) + " has more than permission bits");
        }
    }

    public static ListenerOptions atPath(String path) {
        return new ListenerOptions(requireNonNull(path, "path"), -1, MODE_DEFAULT, null, null);
    }

    public static ListenerOptions inherited(int fd) {
        return new ListenerOptions(null, fd, MODE_DEFAULT, null, null);
    }

    public ListenerOptions withMode(int newMode) {
        return new ListenerOptions(path, inheritedFd, newMode, owner, group);
    }

    public ListenerOptions withOwner(@Nullable String newOwner) {
        return new ListenerOptions(path, inheritedFd, mode, newOwner, group);
    }

    public ListenerOptions withGroup(@Nullable String newGroup) {
        return new ListenerOptions(path, inheritedFd, mode, owner, newGroup);
    }

    /** For messages. */
    public String describe() {
        return path != null ? path : "socket fd " + inheritedFd;
    }
}
