// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where things are in the in-flight region of a split virtqueue (vhost-user, "Inflight I/O tracking"); all values
 * little-endian. Each queue has a block of its own; the distance between blocks is the back end's choice.
 *
 * <pre>
 *   0          8         10         12                16         16 + 16 * count
 *   | features | version | desc_num | last_batch_head | used_idx | desc[desc_num]
 *                                   12                14
 *   desc:  0          1         6      8         16
 *          | inflight | padding | next | counter |
 * </pre>
 */
final class InflightLayout {
    static final int FEATURES = 0;
    static final int VERSION = 8;
    static final int DESC_NUM = 10;

    static final int SPLIT_LAST_BATCH_HEAD = 12;
    static final int SPLIT_USED_IDX = 14;
    static final int SPLIT_DESC = 16;

    static final int SPLIT_DESC_BYTES = 16;
    static final int SPLIT_DESC_INFLIGHT = 0;
    static final int SPLIT_DESC_NEXT = 6;
    static final int SPLIT_DESC_COUNTER = 8;

    /** What the version field says when a block is in use; 0 in a block that nobody has used yet. */
    static final int VERSION_IN_USE = 1;

    /** Blocks begin on cache lines: queues are served by different threads. */
    static final int BLOCK_ALIGNMENT = 64;

    private InflightLayout() {}

    /** From the block of one queue to that of the next. */
    static long strideBytes(int queueSize) {
        long bytes = SPLIT_DESC + (long) SPLIT_DESC_BYTES * queueSize;
        return (bytes + BLOCK_ALIGNMENT - 1) & -BLOCK_ALIGNMENT;
    }
}
