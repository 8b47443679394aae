// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where things are in an in-flight region (vhost-user, "Inflight I/O tracking"); all values little-endian. Each queue has a
 * block of its own; the distance between blocks is the back end's choice. Of a split virtqueue:
 *
 * <pre>
 *   0          8         10         12                14         16
 *   | features | version | desc_num | last_batch_head | used_idx | desc[desc_num]
 *
 *   desc:  0          1         6      8         16
 *          | inflight | padding | next | counter |
 * </pre>
 *
 * Of a packed one:
 *
 * <pre>
 *   0          8         10         12          14              16         18
 *   | features | version | desc_num | free_head | old_free_head | used_idx | old_used_idx |
 *   20                  21                      22        32
 *   | used_wrap_counter | old_used_wrap_counter | padding | desc[desc_num]
 *
 *   desc:  0          1         2      4      6     8         16   18      20    24     32
 *          | inflight | padding | next | last | num | counter | id | flags | len | addr |
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

    /** {@code free_head | old_free_head << 16}: read and written as one int, so that they are never of different times. */
    static final int PACKED_FREE_HEADS = 12;
    /**
     * {@code used_idx | old_used_idx << 16 | used_wrap_counter << 32 | old_used_wrap_counter << 40}, and padding: read and
     * written as one long, for the same reason.
     */
    static final int PACKED_USED = 16;

    static final int PACKED_DESC = 32;

    static final int PACKED_DESC_BYTES = 32;
    /** {@code inflight | next << 16 | last << 32 | num << 48}: of a chain's first entry, written as one long. */
    static final int PACKED_DESC_INFLIGHT = 0;

    static final int PACKED_DESC_NEXT = 2;
    static final int PACKED_DESC_COUNTER = 8;
    /** {@code id | flags << 16 | len << 32}: the second half of a descriptor, its halves swapped. */
    static final int PACKED_DESC_ID_FLAGS_LEN = 16;

    static final int PACKED_DESC_ADDR = 24;

    /** What the version field says when a block is in use; 0 in a block that nobody has used yet. */
    static final int VERSION_IN_USE = 1;

    /** Blocks begin on cache lines: queues are served by different threads. */
    static final int BLOCK_ALIGNMENT = 64;

    private InflightLayout() {}

    /** From the block of one queue to that of the next. */
    static long strideBytes(int queueSize, boolean packed) {
        long bytes = packed
                ? PACKED_DESC + (long) PACKED_DESC_BYTES * queueSize
                : SPLIT_DESC + (long) SPLIT_DESC_BYTES * queueSize;
        return (bytes + BLOCK_ALIGNMENT - 1) & -BLOCK_ALIGNMENT;
    }
}
