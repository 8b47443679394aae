// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.file.ContainerFile;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * The files that an image consists of, and its backing image; opened and closed together. Thread-safe.
 *
 * @param file the image's own
 * @param data the external data file, or the image's own once more
 * @param backing what is read where the image has nothing
 */
record Qcow2Files(
        ContainerFile file, ContainerFile data, @Nullable BlockDriver backing) {

    /** Takes the locks of all of them, or none. */
    void activate() throws BlockOpenException {
        boolean complete = false;
        try {
            file.activate();
            data.activate();
            if (backing != null) {
                backing.activate();
            }
            complete = true;
        } finally {
            if (!complete) {
                deactivate();
            }
        }
    }

    void deactivate() {
        if (backing != null) {
            backing.deactivate();
        }
        data.deactivate();
        file.deactivate();
    }

    void refreshSizes() throws IOException {
        file.refreshSize();
        if (data != file) {
            data.refreshSize();
        }
        if (backing != null) {
            backing.refreshSize();
        }
    }

    void close() {
        if (backing != null) {
            backing.close();
        }
        if (data != file) {
            data.close();
        }
        file.close();
    }
}
