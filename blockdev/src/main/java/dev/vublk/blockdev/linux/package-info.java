// SPDX-License-Identifier: Apache-2.0
/** System calls of this module through jnr-ffi: negative errno out, no policy. */
@NullMarked
package dev.vublk.blockdev.linux;

import org.jspecify.annotations.NullMarked;
