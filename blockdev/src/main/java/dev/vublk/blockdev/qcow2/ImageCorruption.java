// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.LateLogger;
import dev.vublk.blockdev.linux.Errno;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Whether an image was found to be corrupt while it was in use: then the header says so, and nothing is written any more.
 * Thread-safe.
 */
final class ImageCorruption {
    private static final LateLogger LOG = new LateLogger(ImageCorruption.class);

    private final String image;
    private final HeaderUpdate header;
    private final AtomicBoolean found = new AtomicBoolean();

    ImageCorruption(String image, HeaderUpdate header) {
        this.image = image;
        this.header = header;
    }

    boolean isFound() {
        return found.getPlain() || found.get();
    }

    /** Marks the image, once; returns {@code -EIO} for the request that met it. */
    int found(MetadataFile file, String what) {
        if (found.compareAndSet(false, true)) {
            int result = header.incompatible(file, Qcow2Layout.INCOMPATIBLE_CORRUPT, 0);
            LOG.get()
                    .error(
                            "{}: the image is corrupt: {}; no more writes until it is repaired by vublk check --repair{}",
                            image,
                            what,
                            result == 0 ? "" : " (the header could not be marked: " + Errno.describe(result) + ")");
        }
        return -Errno.EIO;
    }
}
