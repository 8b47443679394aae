// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/**
 * Admin commands to an NVMe device through the kernel ({@code linux/nvme_ioctl.h}). Blocking; any thread. Needs
 * CAP_SYS_ADMIN.
 *
 * <pre>
 *  struct nvme_passthru_cmd, 72 bytes
 *  0 opcode u8, 1 flags u8, 2 rsvd1 u16, 4 nsid u32, 8 cdw2, 12 cdw3, 16 metadata u64, 24 addr u64,
 *  32 metadata_len u32, 36 data_len u32, 40 cdw10 ... 60 cdw15, 64 timeout_ms u32, 68 result u32
 * </pre>
 */
public final class NvmeIoctl {
    /** Bytes of the SMART / Health Information log page. */
    public static final int HEALTH_LOG_BYTES = 512;

    static final long NVME_IOCTL_ADMIN_CMD = 0xc0484e41L; // _IOWR('N', 0x41, struct nvme_passthru_cmd)
    static final int COMMAND_BYTES = 72;

    private static final byte GET_LOG_PAGE = 0x02;
    private static final int HEALTH_LOG = 0x02;
    private static final int ALL_NAMESPACES = -1;

    private static final int NSID = 4;
    private static final int ADDR = 24;
    private static final int DATA_LEN = 36;
    private static final int CDW10 = 40;

    private NvmeIoctl() {}

    /** Reads the health log into {@link #HEALTH_LOG_BYTES} at {@code address}: 0, or a negative errno. */
    public static int readHealthLog(int fd, long address) {
        long command = NativeMemory.allocateZeroed(COMMAND_BYTES);
        try {
            encodeHealthLog(command, address);
            int result = LibC.ioctl(fd, NVME_IOCTL_ADMIN_CMD, command);
            return result > 0 ? -Errno.EIO : result; // what is positive is a status of the device
        } finally {
            NativeMemory.free(command);
        }
    }

    static void encodeHealthLog(long command, long address) {
        NativeMemory.putByte(command, GET_LOG_PAGE);
        NativeMemory.putInt(command + NSID, ALL_NAMESPACES);
        NativeMemory.putLong(command + ADDR, address);
        NativeMemory.putInt(command + DATA_LEN, HEALTH_LOG_BYTES);
        // Number of dwords less one in the upper half, log page identifier in the lowest byte.
        NativeMemory.putInt(command + CDW10, (HEALTH_LOG_BYTES / 4 - 1) << 16 | HEALTH_LOG);
    }
}
