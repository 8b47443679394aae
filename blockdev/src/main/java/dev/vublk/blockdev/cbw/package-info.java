// SPDX-License-Identifier: Apache-2.0
/** A filter that keeps a disk's state of one moment readable while guests go on writing: copy before write. */
@NullMarked
package dev.vublk.blockdev.cbw;

import org.jspecify.annotations.NullMarked;
