// SPDX-License-Identifier: Apache-2.0
/** Tests of the qcow2 format: against images that QEMU's tools have made, and against images that nobody should make. */
@NullMarked
package dev.vublk.blockdev.qcow2;

import org.jspecify.annotations.NullMarked;
