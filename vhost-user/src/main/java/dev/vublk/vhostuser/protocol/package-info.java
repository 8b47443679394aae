// SPDX-License-Identifier: Apache-2.0
/** The vhost-user messages: bytes to values and back. No sockets, no threads. */
@NullMarked
package dev.vublk.vhostuser.protocol;

import org.jspecify.annotations.NullMarked;
