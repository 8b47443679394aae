// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.emulator.virtioblk.DiskPossession;

/** A disk that nobody else wants: guests may always use it. Any thread. */
public final class UndisputedDisk implements DiskPossession {
    @Override
    public void take() {}

    @Override
    public void handOver() {}

    @Override
    public void leave() {}
}
