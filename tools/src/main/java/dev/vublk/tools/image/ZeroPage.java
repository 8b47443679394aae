// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;

/** Zeroes to be written where nothing cheaper is wanted. Never freed: one for the process. Any thread. */
final class ZeroPage {
    private static final int LENGTH_BYTES = 1 << 20;

    private static final long ADDRESS = NativeMemory.allocateZeroed(LENGTH_BYTES);

    private ZeroPage() {}

    /** Writes zeroes as data. */
    static void write(OfflineFile file, long offsetBytes, long lengthBytes) throws IOException {
        for (long done = 0; done < lengthBytes; done += LENGTH_BYTES) {
            file.write(ADDRESS, offsetBytes + done, (int) Math.min(LENGTH_BYTES, lengthBytes - done));
        }
    }
}
