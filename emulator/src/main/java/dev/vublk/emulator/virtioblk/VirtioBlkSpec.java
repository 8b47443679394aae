// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/** Constants of the virtio block device (virtio 1.2 section 5.2), under their names in the specification. */
final class VirtioBlkSpec {
    static final int SECTOR_BYTES = 512;

    /** Section 5.2.3, feature bits. */
    static final long VIRTIO_BLK_F_SIZE_MAX = 1L << 1;

    static final long VIRTIO_BLK_F_SEG_MAX = 1L << 2;
    static final long VIRTIO_BLK_F_RO = 1L << 5;
    static final long VIRTIO_BLK_F_BLK_SIZE = 1L << 6;
    static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    static final long VIRTIO_BLK_F_TOPOLOGY = 1L << 10;
    static final long VIRTIO_BLK_F_CONFIG_WCE = 1L << 11;
    static final long VIRTIO_BLK_F_MQ = 1L << 12;
    static final long VIRTIO_BLK_F_DISCARD = 1L << 13;
    static final long VIRTIO_BLK_F_WRITE_ZEROES = 1L << 14;

    /** Section 5.2.6, request types. */
    static final int VIRTIO_BLK_T_IN = 0;

    static final int VIRTIO_BLK_T_OUT = 1;
    static final int VIRTIO_BLK_T_FLUSH = 4;
    static final int VIRTIO_BLK_T_GET_ID = 8;
    static final int VIRTIO_BLK_T_DISCARD = 11;
    static final int VIRTIO_BLK_T_WRITE_ZEROES = 13;

    /** Section 5.2.6, status. */
    static final int VIRTIO_BLK_S_OK = 0;

    static final int VIRTIO_BLK_S_IOERR = 1;
    static final int VIRTIO_BLK_S_UNSUPP = 2;

    /** {@code struct virtio_blk_outhdr { le32 type; le32 reserved; le64 sector; }}. */
    static final int HEADER_BYTES = 16;

    /** Length of the answer to GET_ID; NUL-padded, no terminator when full. */
    static final int ID_BYTES = 20;

    /** {@code struct virtio_blk_discard_write_zeroes { le64 sector; le32 num_sectors; le32 flags; }}. */
    static final int SEGMENT_BYTES = 16;

    static final int VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

    /** Section 5.2.4, offsets in {@code struct virtio_blk_config}. */
    static final int CONFIG_CAPACITY = 0;

    static final int CONFIG_SIZE_MAX = 8;
    static final int CONFIG_SEG_MAX = 12;
    static final int CONFIG_BLK_SIZE = 20;
    static final int CONFIG_PHYSICAL_BLOCK_EXP = 24;
    static final int CONFIG_MIN_IO_SIZE = 26;
    static final int CONFIG_OPT_IO_SIZE = 28;
    static final int CONFIG_WRITEBACK = 32;
    static final int CONFIG_NUM_QUEUES = 34;
    static final int CONFIG_MAX_DISCARD_SECTORS = 36;
    static final int CONFIG_MAX_DISCARD_SEG = 40;
    static final int CONFIG_DISCARD_SECTOR_ALIGNMENT = 44;
    static final int CONFIG_MAX_WRITE_ZEROES_SECTORS = 48;
    static final int CONFIG_MAX_WRITE_ZEROES_SEG = 52;
    static final int CONFIG_WRITE_ZEROES_MAY_UNMAP = 56;
    /** Up to the end of the zoned fields. */
    static final int CONFIG_BYTES = 96;

    private VirtioBlkSpec() {}
}
