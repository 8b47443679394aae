// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** One L2 entry as it was read: a mutable holder that its user owns and may use again. */
final class L2Entry {
    /** The entry's first word. */
    long entry;
    /** The subclusters' bits; 0 in an image without subclusters. */
    long bitmap;
}
