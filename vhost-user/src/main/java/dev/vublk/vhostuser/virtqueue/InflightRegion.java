// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/**
 * The memory in which queues note what is in flight, mapped. The front end keeps the file, so that it outlives this
 * process. Owns the mapping. Control loop.
 *
 * <p>The file comes from the front end, even when it was made here: sizes are checked here, and each queue believes
 * nothing that it finds in its block.
 */
public final class InflightRegion implements AutoCloseable {
    private final InflightDescription description;
    private final FileMapping mapping;

    private InflightRegion(InflightDescription description, FileMapping mapping) {
        this.description = description;
        this.mapping = mapping;
    }

    /** Bytes for so many queues of at most that size. */
    public static long sizeBytes(int queueCount, int queueSize, boolean packed) {
        return queueCount * InflightLayout.strideBytes(queueSize, packed);
    }

    /**
     * Maps the region that a front end passes; {@code fd} stays the caller's to close.
     *
     * @param packed whether it is for packed rings, as far as is known: a split ring's block is the smaller one
     */
    public static InflightRegion map(InflightDescription description, int fd, boolean packed)
            throws VhostUserProtocolException {
        if (description.queueCount() == 0
                || description.queueSize() == 0
                || description.queueSize() > VirtqueueLayout.QUEUE_SIZE_MAX) {
            throw new VhostUserProtocolException(description + " is for no possible queue");
        }
        checkSize(description, packed);
        if (description.mmapOffsetBytes() % InflightLayout.BLOCK_ALIGNMENT != 0) {
            throw new VhostUserProtocolException(description + " is not aligned in its file");
        }
        return new InflightRegion(
                description,
                FileMapping.map(
                        description.toString(), fd, description.mmapOffsetBytes(), description.mmapSizeBytes()));
    }

    private static void checkSize(InflightDescription description, boolean packed) throws VhostUserProtocolException {
        if (description.mmapSizeBytes() < sizeBytes(description.queueCount(), description.queueSize(), packed)) {
            throw new VhostUserProtocolException(
                    description + " is too small, or for another kind of ring, or another back end's");
        }
    }

    /** The part for one queue with a ring of that size and kind; {@code ringIsNew} as in {@link InflightBlock}. */
    public InflightBlock block(int queueIndex, int ringSize, boolean packed, boolean ringIsNew)
            throws VhostUserProtocolException {
        checkSize(description, packed); // Again: it may have been set before the features.
        if (queueIndex >= description.queueCount() || ringSize > description.queueSize()) {
            throw new VhostUserProtocolException(
                    "ring " + queueIndex + " of " + ringSize + " descriptors has no place in the " + description);
        }
        long stride = InflightLayout.strideBytes(description.queueSize(), packed);
        return new InflightBlock(
                mapping.hostAddress() + queueIndex * stride, description.queueSize(), ringIsNew, InflightFaults.NONE);
    }

    /** Unmaps. No queue may use a block of it any more. */
    @Override
    public void close() {
        mapping.close();
    }
}
