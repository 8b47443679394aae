// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

/** What a listener does with a front end. */
@FunctionalInterface
public interface ConnectionHandler {
    /** Serves a front end until it leaves or must be left. Control loop; the listener closes the connection after it. */
    void serve(VhostUserConnection connection);
}
