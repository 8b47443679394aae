// SPDX-License-Identifier: Apache-2.0
/** The process: builds IOThreads, disks and exports from a configuration, starts and stops them in order. */
@NullMarked
package dev.vublk.emulator;

import org.jspecify.annotations.NullMarked;
