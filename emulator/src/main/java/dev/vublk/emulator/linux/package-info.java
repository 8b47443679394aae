// SPDX-License-Identifier: Apache-2.0
/** System calls of this module, through jnr-ffi and one downcall handle: negative errno out, no policy. */
@NullMarked
package dev.vublk.emulator.linux;

import org.jspecify.annotations.NullMarked;
