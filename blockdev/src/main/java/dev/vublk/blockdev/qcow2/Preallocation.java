// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** How much of a new image is there from the beginning; QEMU's names. */
public enum Preallocation {
    /** Nothing but the header and the tables that every image has. */
    OFF,
    /** Every cluster has its place; the file has holes there. */
    METADATA,
    /** The file system has given the file its space. */
    FALLOC,
    /** Zeroes have been written. */
    FULL
}
