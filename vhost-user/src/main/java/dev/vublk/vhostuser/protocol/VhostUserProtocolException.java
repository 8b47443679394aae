// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.io.Serial;

/** The front end broke the protocol, or asked for something that cannot be done. Ends at most its own session. */
public final class VhostUserProtocolException extends Exception {
    @Serial
    private static final long serialVersionUID = 1L;

    private final String reason;

    public VhostUserProtocolException(String reason) {
        super(reason);
        this.reason = reason;
    }

    /** One line for the log. */
    public String reason() {
        return reason;
    }
}
