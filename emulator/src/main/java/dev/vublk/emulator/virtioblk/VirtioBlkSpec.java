// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/** Constants of the virtio block device (virtio 1.2 section 5.2), under their names in the specification. */
final class VirtioBlkSpec {
    static final int SECTOR_BYTES = 512;

    /** Section 5.2.3, feature bits. */
    static final long VIRTIO_BLK_F_SIZE_MAX = 1L << 1;

    static final long VIRTIO_BLK_F_SEG_MAX = 1L << 2;
    static final long VIRTIO_BLK_F_GEOMETRY = 1L << 4;
    static final long VIRTIO_BLK_F_RO = 1L << 5;
    static final long VIRTIO_BLK_F_BLK_SIZE = 1L << 6;
    static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    static final long VIRTIO_BLK_F_TOPOLOGY = 1L << 10;
    static final long VIRTIO_BLK_F_CONFIG_WCE = 1L << 11;
    static final long VIRTIO_BLK_F_MQ = 1L << 12;
    static final long VIRTIO_BLK_F_DISCARD = 1L << 13;
    static final long VIRTIO_BLK_F_WRITE_ZEROES = 1L << 14;
    static final long VIRTIO_BLK_F_LIFETIME = 1L << 15;
    static final long VIRTIO_BLK_F_SECURE_ERASE = 1L << 16;
    static final long VIRTIO_BLK_F_ZONED = 1L << 17;

    /** Section 5.2.6, request types. */
    static final int VIRTIO_BLK_T_IN = 0;

    static final int VIRTIO_BLK_T_OUT = 1;
    static final int VIRTIO_BLK_T_FLUSH = 4;
    static final int VIRTIO_BLK_T_GET_ID = 8;
    static final int VIRTIO_BLK_T_GET_LIFETIME = 10;
    static final int VIRTIO_BLK_T_DISCARD = 11;
    static final int VIRTIO_BLK_T_WRITE_ZEROES = 13;
    static final int VIRTIO_BLK_T_SECURE_ERASE = 14;
    static final int VIRTIO_BLK_T_ZONE_APPEND = 15;
    static final int VIRTIO_BLK_T_ZONE_REPORT = 16;
    static final int VIRTIO_BLK_T_ZONE_OPEN = 18;
    static final int VIRTIO_BLK_T_ZONE_CLOSE = 20;
    static final int VIRTIO_BLK_T_ZONE_FINISH = 22;
    static final int VIRTIO_BLK_T_ZONE_RESET = 24;
    static final int VIRTIO_BLK_T_ZONE_RESET_ALL = 26;

    /** Section 5.2.6, status. */
    static final int VIRTIO_BLK_S_OK = 0;

    static final int VIRTIO_BLK_S_IOERR = 1;
    static final int VIRTIO_BLK_S_UNSUPP = 2;
    static final int VIRTIO_BLK_S_ZONE_INVALID_CMD = 3;
    static final int VIRTIO_BLK_S_ZONE_UNALIGNED_WP = 4;
    static final int VIRTIO_BLK_S_ZONE_OPEN_RESOURCE = 5;
    static final int VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE = 6;

    /** {@code struct virtio_blk_outhdr { le32 type; le32 reserved; le64 sector; }}. */
    static final int HEADER_BYTES = 16;

    /** Length of the answer to GET_ID; NUL-padded, no terminator when full. */
    static final int ID_BYTES = 20;

    /** {@code struct virtio_blk_lifetime { le16 pre_eol_info; le16 device_lifetime_est_typ_a; le16 …_typ_b; }}. */
    static final int LIFETIME_BYTES = 6;

    /** The {@code le64 append_sector} of {@code struct virtio_blk_req_za}. */
    static final int APPEND_SECTOR_BYTES = 8;

    /** {@code struct virtio_blk_zone_report { le64 nr_zones; u8 reserved[56]; … zones[]; }}, without its zones. */
    static final int ZONE_REPORT_BYTES = 64;

    /**
     * {@code struct virtio_blk_zone_descriptor { le64 z_cap; le64 z_start; le64 z_wp; u8 z_type; u8 z_state;
     * u8 reserved[38]; }}.
     */
    static final int ZONE_DESCRIPTOR_BYTES = 64;

    /** Value of {@code zoned.model}: host-managed. */
    static final int VIRTIO_BLK_Z_HM = 1;

    /** {@code struct virtio_blk_discard_write_zeroes { le64 sector; le32 num_sectors; le32 flags; }}. */
    static final int SEGMENT_BYTES = 16;

    static final int VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

    /** Section 5.2.4, offsets in {@code struct virtio_blk_config}. */
    static final int CONFIG_CAPACITY = 0;

    static final int CONFIG_SIZE_MAX = 8;
    static final int CONFIG_SEG_MAX = 12;
    static final int CONFIG_CYLINDERS = 16;
    static final int CONFIG_HEADS = 18;
    static final int CONFIG_SECTORS = 19;
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
    static final int CONFIG_MAX_SECURE_ERASE_SECTORS = 60;
    static final int CONFIG_MAX_SECURE_ERASE_SEG = 64;
    static final int CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT = 68;
    static final int CONFIG_ZONE_SECTORS = 72;
    static final int CONFIG_MAX_OPEN_ZONES = 76;
    static final int CONFIG_MAX_ACTIVE_ZONES = 80;
    static final int CONFIG_MAX_APPEND_SECTORS = 84;
    static final int CONFIG_WRITE_GRANULARITY = 88;
    static final int CONFIG_ZONED_MODEL = 92;

    /** Up to the end of the zoned fields. */
    static final int CONFIG_BYTES = 96;

    private VirtioBlkSpec() {}
}
