// SPDX-License-Identifier: Apache-2.0
/** Threads that run blocking calls for the loops, without ever stalling a loop. */
@NullMarked
package dev.vublk.emulator.worker;

import org.jspecify.annotations.NullMarked;
