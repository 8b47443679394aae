// SPDX-License-Identifier: Apache-2.0
/** One class a command, mixins for the options they share, converters for what people type. */
@NullMarked
package dev.vublk.tools.cli;

import org.jspecify.annotations.NullMarked;
