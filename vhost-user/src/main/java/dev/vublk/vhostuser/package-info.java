// SPDX-License-Identifier: Apache-2.0
/** The back-end side of vhost-user: what a device offers a session, and everything between the socket and the rings. */
@NullMarked
package dev.vublk.vhostuser;

import org.jspecify.annotations.NullMarked;
