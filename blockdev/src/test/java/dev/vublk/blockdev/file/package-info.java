// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.vublk.blockdev.file;

import org.jspecify.annotations.NullMarked;
