// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.LoopQueue;

/**
 * The file that holds an image, as code that changes its metadata sees it: on one loop, where calls suspend the calling
 * coroutine, or blocking while the image is opened or closed. Every call returns 0 when all is done, or a negative errno; with
 * {@code cache=unsafe} nothing waits for the disk.
 */
interface MetadataFile {
    /** Reads; what lies behind the end of the file is zeroes. */
    int read(long offsetBytes, long address, int lengthBytes);

    /** Writes, letting the file grow if need be; {@code stable} makes these bytes outlive a power cut. */
    int write(long offsetBytes, long address, int lengthBytes, boolean stable);

    /** Writes the guest's data; parameters as for {@code BlockChannel.writev}. */
    int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean stable);

    /** Makes a range read as zeroes; its space may be given back. */
    int writeZeroes(long offsetBytes, long lengthBytes);

    /** Gives the space of a range back, where that is possible and wanted. */
    int discard(long offsetBytes, long lengthBytes);

    /** Lets the file be this long; the new part reads as zeroes. */
    int truncate(long sizeBytes);

    /** Makes everything stable that was written, truncated or zeroed before. */
    int flush();

    long sizeBytes();

    /** Where the caller waits for other callers. */
    LoopQueue queue();
}
