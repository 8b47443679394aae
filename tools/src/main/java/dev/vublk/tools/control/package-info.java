// SPDX-License-Identifier: Apache-2.0
/** The socket on which a running export answers programs of its user. */
@NullMarked
package dev.vublk.tools.control;

import org.jspecify.annotations.NullMarked;
