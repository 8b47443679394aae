// SPDX-License-Identifier: Apache-2.0
/** What {@code aot-cache.sh} runs to make the program start faster. */
@NullMarked
package dev.vublk.tools.aot;

import org.jspecify.annotations.NullMarked;
