// SPDX-License-Identifier: Apache-2.0
/** Disks: an opened disk ({@link dev.vublk.blockdev.BlockDriver}), that disk on one loop, and how a disk waits. */
@NullMarked
package dev.vublk.blockdev;

import org.jspecify.annotations.NullMarked;
