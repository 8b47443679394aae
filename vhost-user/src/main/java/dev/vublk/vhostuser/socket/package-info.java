// SPDX-License-Identifier: Apache-2.0
/** The vhost-user socket: binding or inheriting it, and whole messages together with their file descriptors. */
@NullMarked
package dev.vublk.vhostuser.socket;

import org.jspecify.annotations.NullMarked;
