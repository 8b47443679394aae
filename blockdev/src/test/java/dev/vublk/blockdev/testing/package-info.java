// SPDX-License-Identifier: Apache-2.0
/** Loops, vectors and images for the tests of disks. */
@NullMarked
package dev.vublk.blockdev.testing;

import org.jspecify.annotations.NullMarked;
