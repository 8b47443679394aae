// SPDX-License-Identifier: Apache-2.0
/** Disks in regular files and host block devices. */
@NullMarked
package dev.vublk.blockdev.file;

import org.jspecify.annotations.NullMarked;
