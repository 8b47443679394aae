// SPDX-License-Identifier: Apache-2.0
/** System calls of this module, by one handle for all of them: negative errno out, no policy. */
@NullMarked
package dev.vublk.blockdev.linux;

import org.jspecify.annotations.NullMarked;
