// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/** What an image's file is, and where the files are that it names. Any thread. */
public final class ImageFiles {
    private static final int MAGIC_BYTES = 4;

    private ImageFiles() {}

    /** The format of an image: as it was asked for, or as its first bytes say. */
    public static ImageType type(OfflineFile file, ImageType asked) throws IOException {
        if (asked != ImageType.AUTO) {
            return asked;
        }
        boolean qcow2 = Qcow2Header.hasMagic(ByteBuffer.wrap(file.read(0, MAGIC_BYTES)));
        return qcow2 ? ImageType.QCOW2 : ImageType.RAW;
    }

    /** The path that a backing file's name in an image means: relative to the image's directory. */
    public static String backingPath(String image, String backingFile) {
        if (backingFile.startsWith("/")) {
            return backingFile;
        }
        // As QEMU joins them, so that both say the same.
        String text = backingFile.startsWith("file:") ? backingFile.substring("file:".length()) : backingFile;
        Path directory = Path.of(image).getParent();
        return directory == null || text.startsWith("/") ? text : image.substring(0, image.lastIndexOf('/') + 1) + text;
    }
}
