// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;

/** How an export gets its disk: {@code BlockDrivers::open}, or a disk that a test scripts. Emulator's thread. */
@FunctionalInterface
public interface BlockDriverOpener {
    BlockDriver open(BlockOptions options) throws BlockOpenException;
}
