// SPDX-License-Identifier: Apache-2.0
/** The other end of the wire, for tests, benches and fuzzers: a front end and the driver's side of the rings. */
@NullMarked
package dev.vublk.vhostuser.frontend;

import org.jspecify.annotations.NullMarked;
