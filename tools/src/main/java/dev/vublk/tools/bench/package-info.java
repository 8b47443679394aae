// SPDX-License-Identifier: Apache-2.0
/**
 * The load generator: a front end that connects to any vhost-user-blk back end, drives its queues as a guest's driver does,
 * and measures or verifies. Knows the back end only by its socket.
 */
@NullMarked
package dev.vublk.tools.bench;

import org.jspecify.annotations.NullMarked;
