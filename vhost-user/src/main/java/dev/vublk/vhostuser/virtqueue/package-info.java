// SPDX-License-Identifier: Apache-2.0
/** Virtqueues: layout, taking chains, publishing used elements. Each queue is owned by one IOThread. */
@NullMarked
package dev.vublk.vhostuser.virtqueue;

import org.jspecify.annotations.NullMarked;
