// SPDX-License-Identifier: Apache-2.0
/** Benchmarks of single pieces; each has a {@code main}. */
@NullMarked
package dev.vublk.tools.bench;

import org.jspecify.annotations.NullMarked;
