// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** The layout of {@code struct nvme_passthru_cmd} (linux/nvme_ioctl.h), byte by byte. */
final class NvmeIoctlTest {
    @Test
    void shouldHaveTheKernelsNumber() {
        // _IOWR(type, nr, size) of asm-generic/ioctl.h: direction 3 << 30, size << 16, type << 8, nr
        assertThat(NvmeIoctl.NVME_IOCTL_ADMIN_CMD)
                .isEqualTo(3L << 30 | (long) NvmeIoctl.COMMAND_BYTES << 16 | 'N' << 8 | 0x41);
    }

    @Test
    void shouldAskForTheHealthLog() {
        long command = NativeMemory.allocateZeroed(NvmeIoctl.COMMAND_BYTES);
        NvmeIoctl.encodeHealthLog(command, 0x1122334455667788L);
        byte[] bytes = new byte[NvmeIoctl.COMMAND_BYTES];
        NativeMemory.get(command, bytes, 0, bytes.length);
        NativeMemory.free(command);

        byte[] expected = new byte[72];
        expected[0] = 2; // Get Log Page
        expected[4] = expected[5] = expected[6] = expected[7] = -1; // every namespace
        for (int i = 0; i < 8; i++) {
            expected[24 + i] = (byte) (0x88 - 0x11 * i);
        }
        expected[37] = 2; // 512 bytes
        expected[40] = 2; // SMART / health
        expected[42] = 127; // 128 dwords, less one
        assertThat(bytes).isEqualTo(expected);
    }

    @Test
    void shouldTellTheErrno() {
        assertThat(NvmeIoctl.readHealthLog(-1, 0)).isEqualTo(-9); // EBADF
    }
}
