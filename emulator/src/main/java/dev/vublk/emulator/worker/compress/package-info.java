// SPDX-License-Identifier: Apache-2.0
/** The multi-threaded codec engine: blocks are compressed or decompressed by workers, without a lock. */
@NullMarked
package dev.vublk.emulator.worker.compress;

import org.jspecify.annotations.NullMarked;
