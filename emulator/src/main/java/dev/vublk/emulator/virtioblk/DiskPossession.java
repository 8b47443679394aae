// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/** Whether guests use a disk here, or have gone with it to another process. Called on the control loop. */
public interface DiskPossession {
    /**
     * A guest begins to use the disk.
     *
     * @throws VhostUserProtocolException somebody else has it; that has been logged
     */
    void take() throws VhostUserProtocolException;

    /** A guest goes on elsewhere: what it wrote is stable, and another process may take the disk. May wait. */
    void handOver();

    /** A guest is gone without having gone elsewhere. */
    void leave();
}
