// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import java.io.IOException;

/** A disk cannot be opened: the message is one line that names the image, what was tried, the errno and the remedy. */
public sealed class BlockOpenException extends IOException permits ImageInUseException {
    private static final long serialVersionUID = 1L;

    public BlockOpenException(String message) {
        super(message);
    }
}
