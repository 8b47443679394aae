// SPDX-License-Identifier: Apache-2.0
/** A directory whose files fail when they are told to: what tests of input/output errors run on. Needs root and FUSE. */
@NullMarked
package dev.vublk.tools.faulty;

import org.jspecify.annotations.NullMarked;
