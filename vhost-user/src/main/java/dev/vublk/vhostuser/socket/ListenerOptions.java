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
 * @param clientsMax how many front ends are served at once, at least 1
 */
public record ListenerOptions(
        @Nullable String path,
        int inheritedFd,
        int mode,
        @Nullable String owner,
        @Nullable String group,
        int clientsMax) {
    /** Only the user that runs the back end may connect: whoever may, can read and write the disk. */
    public static final int MODE_DEFAULT = 0600;

    /** One front end at a time. */
    public ListenerOptions(
            @Nullable String path, int inheritedFd, int mode, @Nullable String owner, @Nullable String group) {
        this(path, inheritedFd, mode, owner, group, 1);
    }

    public ListenerOptions {
        if (clientsMax < 1) {
            throw new IllegalArgumentException("clientsMax " + clientsMax);
        }
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
        return new ListenerOptions(path, inheritedFd, newMode, owner, group, clientsMax);
    }

    public ListenerOptions withOwner(@Nullable String newOwner) {
        return new ListenerOptions(path, inheritedFd, mode, newOwner, group, clientsMax);
    }

    public ListenerOptions withGroup(@Nullable String newGroup) {
        return new ListenerOptions(path, inheritedFd, mode, owner, newGroup, clientsMax);
    }

    public ListenerOptions withClientsMax(int newClientsMax) {
        return new ListenerOptions(path, inheritedFd, mode, owner, group, newClientsMax);
    }

    /** For messages. */
    public String describe() {
        return path != null ? path : "socket fd " + inheritedFd;
    }
}
