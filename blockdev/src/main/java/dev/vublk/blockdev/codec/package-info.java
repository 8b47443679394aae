// SPDX-License-Identifier: Apache-2.0
/** Compression of one block at a time: deflate and zstd, as qcow2 clusters and as members of gzip and zstd streams. */
@NullMarked
package dev.vublk.blockdev.codec;

import org.jspecify.annotations.NullMarked;
