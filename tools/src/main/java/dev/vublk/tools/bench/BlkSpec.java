// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

/**
 * Constants of the virtio block device that its driver needs (virtio 1.2 section 5.2), under their names in the
 * specification. Apart from the emulator's on purpose: the two ends check each other.
 */
final class BlkSpec {
    static final int SECTOR_BYTES = 512;

    static final long VIRTIO_BLK_F_SIZE_MAX = 1L << 1;
    static final long VIRTIO_BLK_F_SEG_MAX = 1L << 2;
    static final long VIRTIO_BLK_F_RO = 1L << 5;
    static final long VIRTIO_BLK_F_BLK_SIZE = 1L << 6;
    static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    static final long VIRTIO_BLK_F_TOPOLOGY = 1L << 10;
    static final long VIRTIO_BLK_F_MQ = 1L << 12;

    static final int VIRTIO_BLK_T_IN = 0;
    static final int VIRTIO_BLK_T_OUT = 1;
    static final int VIRTIO_BLK_T_FLUSH = 4;

    static final byte VIRTIO_BLK_S_OK = 0;

    /** {@code struct virtio_blk_req { le32 type; le32 reserved; le64 sector; }}. */
    static final int HEADER_TYPE = 0;

    static final int HEADER_SECTOR = 8;
    static final int HEADER_BYTES = 16;

    /** Offsets in {@code struct virtio_blk_config}. */
    static final int CONFIG_CAPACITY = 0;

    static final int CONFIG_SIZE_MAX = 8;
    static final int CONFIG_SEG_MAX = 12;
    static final int CONFIG_BLK_SIZE = 20;
    static final int CONFIG_NUM_QUEUES = 34;

    /** Up to the fields of VIRTIO_BLK_F_WRITE_ZEROES: what every back end has. */
    static final int CONFIG_BYTES = 60;

    /** Up to the zoned fields: back ends built with newer headers answer no less. */
    static final int CONFIG_WITH_ZONES_BYTES = 96;

    private BlkSpec() {}
}
