// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/** What an image's file is taken for. */
public enum ImageType {
    /** The file is the disk, whatever it begins with. */
    RAW,
    /** The file holds the disk as QEMU's {@code qcow2}. */
    QCOW2,
    /** As the file's first bytes say. Who writes such a disk as raw may not write another format's first bytes into it. */
    AUTO
}
