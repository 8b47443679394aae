// SPDX-License-Identifier: Apache-2.0
/** One front end's connection: what it negotiated, its memory and rings, and the answer to each message. */
@NullMarked
package dev.vublk.vhostuser.session;

import org.jspecify.annotations.NullMarked;
