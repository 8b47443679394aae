// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.vublk.blockdev.nullblk;

import org.jspecify.annotations.NullMarked;
