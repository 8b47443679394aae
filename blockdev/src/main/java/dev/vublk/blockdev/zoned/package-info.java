// SPDX-License-Identifier: Apache-2.0
/** Host-managed zoned disks: zones emulated on an image, and devices that have zones of their own. */
@NullMarked
package dev.vublk.blockdev.zoned;

import org.jspecify.annotations.NullMarked;
