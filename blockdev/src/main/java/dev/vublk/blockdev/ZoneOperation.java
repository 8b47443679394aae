// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/** What can be done with a sequential zone as a whole. */
public enum ZoneOperation {
    /** Keeps resources for it until it is closed, finished or reset. */
    OPEN,
    /** Gives its open resource back; empty again when nothing was written. */
    CLOSE,
    /** Makes it full, whatever is written so far. */
    FINISH,
    /** Makes it empty: what it held is gone. */
    RESET
}
