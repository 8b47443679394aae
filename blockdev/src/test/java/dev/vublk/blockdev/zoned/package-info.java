// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.vublk.blockdev.zoned;

import org.jspecify.annotations.NullMarked;
