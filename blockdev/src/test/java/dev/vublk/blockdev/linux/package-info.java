// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.vublk.blockdev.linux;

import org.jspecify.annotations.NullMarked;
