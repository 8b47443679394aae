// SPDX-License-Identifier: Apache-2.0
/** The vublk command. */
@NullMarked
package dev.vublk.tools;

import org.jspecify.annotations.NullMarked;
