// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.nio.ByteBuffer;

/**
 * The bitmaps extension: where the directory of persistent dirty bitmaps is. A value; any thread.
 *
 * @param bitmapCount number of bitmaps
 * @param directoryBytes length of the directory
 * @param directoryOffset where it stands in the file
 */
public record Qcow2BitmapsExtension(int bitmapCount, long directoryBytes, long directoryOffset) {

    /** What an extension of this type says; its length has been checked. Nothing else has. */
    static Qcow2BitmapsExtension decode(Qcow2Extension extension) {
        ByteBuffer data = extension.data();
        return new Qcow2BitmapsExtension(data.getInt(0), data.getLong(8), data.getLong(16));
    }

    Qcow2Extension encode() {
        ByteBuffer data = ByteBuffer.allocate(Qcow2Layout.BITMAPS_EXTENSION_BYTES);
        data.putInt(bitmapCount).putInt(0).putLong(directoryBytes).putLong(directoryOffset);
        return new Qcow2Extension(Qcow2Layout.EXTENSION_BITMAPS, data.array());
    }
}
