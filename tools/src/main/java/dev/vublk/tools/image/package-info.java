// SPDX-License-Identifier: Apache-2.0
/** Copying of disk images: sources, targets, and the threads between them. */
@NullMarked
package dev.vublk.tools.image;

import org.jspecify.annotations.NullMarked;
