// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;

/**
 * The transfer of the device's own state, of which there is none: all that a disk is lies in its image, its rings and the
 * guest's memory. So saving writes nothing, and loading must find nothing. Control loop.
 */
final class DeviceState implements AutoCloseable {
    private static final int NO_FD = -1;
    private static final long OK = 0;
    private static final long ERROR = 1;

    /** In the answer to SET_DEVICE_STATE_FD: no descriptor comes with it, the one that was sent is used. */
    private static final long NO_FD_REPLIED = 1 << 8;

    /** Where a state is loaded from until it has been checked. */
    private int loadFd = NO_FD;

    private boolean failed;

    /** SET_DEVICE_STATE_FD; owns {@code fd} from now on. Returns the answer. */
    long begin(DeviceStateTransfer transfer, int fd, boolean anyRingRunning) {
        close();
        // "Migrating back-end state": only a suspended device has its state transferred, and STOPPED is the only phase.
        failed = anyRingRunning
                || transfer.phase() != DeviceStateTransfer.STOPPED
                || (transfer.direction() != DeviceStateTransfer.SAVE
                        && transfer.direction() != DeviceStateTransfer.LOAD);
        if (!failed && transfer.direction() == DeviceStateTransfer.LOAD) {
            loadFd = fd;
            FileDescriptor.setNonBlocking(fd);
        } else {
            FileDescriptor.close(fd); // The front end finds the end at once: the empty state.
        }
        return NO_FD_REPLIED | (failed ? ERROR : OK);
    }

    /** CHECK_DEVICE_STATE. Returns the answer. The front end has closed its end of a load by now. */
    long check() {
        boolean loadedOther = loadFd != NO_FD && FileDescriptor.read(loadFd, new byte[1]) != 0;
        boolean bad = failed || loadedOther;
        close();
        failed = false;
        return bad ? ERROR : OK;
    }

    @Override
    public void close() {
        if (loadFd != NO_FD) {
            FileDescriptor.close(loadFd);
            loadFd = NO_FD;
        }
    }
}
