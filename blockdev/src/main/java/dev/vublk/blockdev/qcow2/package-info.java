// SPDX-License-Identifier: Apache-2.0
/** Disks in qcow2 images: what the file says (layout, header, tables), and the driver that serves it. */
@NullMarked
package dev.vublk.blockdev.qcow2;

import org.jspecify.annotations.NullMarked;
