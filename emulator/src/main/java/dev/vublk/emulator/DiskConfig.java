// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.socket.ListenerOptions;

/**
 * One disk on one socket.
 *
 * @param block how the disk is opened
 * @param listener where a front end connects
 * @param session what is offered to a front end beyond the ordinary
 * @param device what the guest sees
 */
public record DiskConfig(
        BlockOptions block, ListenerOptions listener, SessionOptions session, VirtioBlkSettings device) {
    /** With sessions as they suit most. */
    public DiskConfig(BlockOptions block, ListenerOptions listener, VirtioBlkSettings device) {
        this(block, listener, SessionOptions.DEFAULT, device);
    }
}
