// SPDX-License-Identifier: Apache-2.0
/** The other end of the wire, for tests, benchmarks and fuzzers. */
@NullMarked
package dev.vublk.vhostuser.frontend;

import org.jspecify.annotations.NullMarked;
