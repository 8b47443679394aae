// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.control;

import java.nio.file.Path;

/**
 * What snapshots may take.
 *
 * @param directory where what guests overwrite is kept
 * @param storeBytesMax how much of it; a snapshot that needs more fails
 */
public record SnapshotLimits(Path directory, long storeBytesMax) {}
