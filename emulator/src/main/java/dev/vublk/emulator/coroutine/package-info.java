// SPDX-License-Identifier: Apache-2.0
/** Stackful coroutines, their pools, and how coroutines of one loop wait for each other. */
@NullMarked
package dev.vublk.emulator.coroutine;

import org.jspecify.annotations.NullMarked;
