// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.linux.FileDescriptor;
import java.util.Arrays;

/** The descriptors that came with one message. Owns each until it is taken; closing closes the rest. Control loop. */
public final class AncillaryFds implements AutoCloseable {
    private static final int TAKEN = -1;

    private int[] fds = new int[8];
    private int count;

    /** Takes ownership of a received descriptor. */
    void add(int fd) {
        if (count == fds.length) {
            fds = Arrays.copyOf(fds, 2 * count);
        }
        fds[count++] = fd;
    }

    /** How many came, taken or not. */
    public int count() {
        return count;
    }

    /** A descriptor to use while the message is handled; it is closed with the others. */
    public int borrow(int index) {
        if (index >= count || fds[index] == TAKEN) {
            throw new IllegalStateException("descriptor " + index + " is not there");
        }
        return fds[index];
    }

    /** A descriptor to keep: the caller closes it. */
    public int take(int index) {
        int fd = borrow(index);
        fds[index] = TAKEN;
        return fd;
    }

    @Override
    public void close() {
        for (int i = 0; i < count; i++) {
            if (fds[i] != TAKEN) {
                FileDescriptor.close(fds[i]);
                fds[i] = TAKEN;
            }
        }
    }
}
