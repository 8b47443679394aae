// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * A class's logger that is made when there is something to tell: a tool that is over at once does not wait for it, and a class can be
 * used before the log is set up. Any thread; not for what is told often.
 *
 * @param owner the class
 */
public record LateLogger(Class<?> owner) {
    public Logger get() {
        return LogManager.getLogger(owner);
    }
}
