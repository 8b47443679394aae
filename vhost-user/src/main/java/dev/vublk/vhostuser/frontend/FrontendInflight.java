// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.InflightDescription;

/**
 * The region that a back end has made for its requests in flight, as the front end keeps it for the next one. Owns the
 * descriptor.
 */
public final class FrontendInflight implements AutoCloseable {
    private final InflightDescription description;
    private final int fd;
    private boolean open = true;

    FrontendInflight(InflightDescription description, int fd) {
        this.description = description;
        this.fd = fd;
    }

    public InflightDescription description() {
        return description;
    }

    public int fd() {
        return fd;
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            FileDescriptor.close(fd);
        }
    }
}
