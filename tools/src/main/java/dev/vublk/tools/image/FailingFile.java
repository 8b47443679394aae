// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.linux.Iovec;

/** Which file it is that fails, when a disk that consists of several cannot be read. */
final class FailingFile {
    private FailingFile() {}

    /**
     * Reads a range that could not be read once more, part by part.
     *
     * @param name of the disk, as the user gave it
     * @param iovec to read with, into memory for the whole range
     * @return text for messages: {@code " (in base.img)"}; empty when it is the disk's own file, or when nobody can tell
     */
    static String describe(BlockChannel channel, String name, long offsetBytes, long iovec, long address, int length) {
        BlockStatus status = new BlockStatus();
        int done = 0;
        while (done < length && channel.status(offsetBytes + done, length - done, status) >= 0) {
            int part = (int) Math.min(status.lengthBytes, length - done);
            Iovec.set(iovec, address + done, part);
            if (!status.zero && channel.readv(offsetBytes + done, iovec, 1, part) < 0) {
                return status.file == null || status.file.equals(name) ? "" : " (in " + status.file + ")";
            }
            done += part;
        }
        return "";
    }
}
