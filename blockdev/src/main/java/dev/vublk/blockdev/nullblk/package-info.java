// SPDX-License-Identifier: Apache-2.0
/** A disk without data, the floor of every measurement. */
@NullMarked
package dev.vublk.blockdev.nullblk;

import org.jspecify.annotations.NullMarked;
