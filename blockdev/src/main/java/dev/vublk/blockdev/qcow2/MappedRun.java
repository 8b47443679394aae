// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** Where a run of the disk's bytes stands. A mutable holder that its user owns and may use again. */
final class MappedRun {
    /** What there is to be read. */
    enum Kind {
        /** Bytes as they are, in the image's file or its external data file. */
        DATA,
        /** A cluster that is compressed. */
        COMPRESSED,
        /** Zeroes, whatever a backing file has there. */
        ZERO,
        /** Nothing in this image: what the backing file has there, or zeroes. */
        UNALLOCATED
    }

    Kind kind = Kind.UNALLOCATED;

    /** Of data: where the first byte stands. Of zeroes: where there is room for it, or -1. */
    long hostOffset;

    /** Of compressed data: the L2 entry. */
    long entry;

    /** How far this goes. */
    long lengthBytes;

    final L2Entry first = new L2Entry();
    final L2Entry next = new L2Entry();
}
