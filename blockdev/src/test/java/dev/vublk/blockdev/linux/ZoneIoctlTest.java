// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Numbers and layouts of linux/blkzoned.h; no kernel with zones is needed. */
final class ZoneIoctlTest {
    private static final int NONE = 0;
    private static final int WRITE = 1;
    private static final int READ = 2;

    /** {@code _IOC(direction, 0x12, nr, size)} of asm-generic/ioctl.h. */
    private static long ioc(int direction, int nr, int size) {
        return (long) direction << 30 | (long) size << 16 | 0x12 << 8 | nr;
    }

    @Test
    void shouldHaveTheKernelsNumbers() {
        assertThat(ZoneIoctl.BLKREPORTZONE).isEqualTo(ioc(READ | WRITE, 130, 16));
        assertThat((long) ZoneIoctl.BLKRESETZONE).isEqualTo(ioc(WRITE, 131, 16));
        assertThat(ZoneIoctl.BLKGETZONESZ).isEqualTo(ioc(READ, 132, 4));
        assertThat((long) ZoneIoctl.BLKOPENZONE).isEqualTo(ioc(WRITE, 134, 16));
        assertThat((long) ZoneIoctl.BLKCLOSEZONE).isEqualTo(ioc(WRITE, 135, 16));
        assertThat((long) ZoneIoctl.BLKFINISHZONE).isEqualTo(ioc(WRITE, 136, 16));
        assertThat((long) BlockDeviceIoctl.BLKSECDISCARD).isEqualTo(ioc(NONE, 125, 0));
    }

    @Test
    void shouldLayZonesOutAsTheKernelDoes() {
        long report = NativeMemory.allocateZeroed(16 + 2 * 64);
        ZoneIoctl.putZone(report, 1, 0x1000 * 512L, 0x800 * 512L, 0x700 * 512L, 0x1234 * 512L, 2, 14);

        long zone = report + 16 + 64;
        assertThat(NativeMemory.getLong(zone)).as("start").isEqualTo(0x1000);
        assertThat(NativeMemory.getLong(zone + 8)).as("len").isEqualTo(0x800);
        assertThat(NativeMemory.getLong(zone + 16)).as("wp").isEqualTo(0x1234);
        assertThat(NativeMemory.getByte(zone + 24)).as("type").isEqualTo((byte) 2);
        assertThat(NativeMemory.getByte(zone + 25)).as("cond").isEqualTo((byte) 14);
        assertThat(NativeMemory.getLong(zone + 32)).as("capacity").isEqualTo(0x700);
        assertThat(ZoneIoctl.startBytes(report, 1)).isEqualTo(0x1000 * 512L);
        assertThat(ZoneIoctl.lengthBytes(report, 1)).isEqualTo(0x800 * 512L);
        assertThat(ZoneIoctl.capacityBytes(report, 1)).isEqualTo(0x700 * 512L);
        assertThat(ZoneIoctl.pointerBytes(report, 1)).isEqualTo(0x1234 * 512L);
        assertThat(ZoneIoctl.type(report, 1)).isEqualTo(2);
        assertThat(ZoneIoctl.condition(report, 1)).isEqualTo(14);
        NativeMemory.free(report);
    }

    @Test
    void shouldTellErrnos() {
        long report = NativeMemory.allocateZeroed(16 + 64);
        assertThat(ZoneIoctl.zoneBytes(-1)).isEqualTo(-9); // EBADF
        assertThat(ZoneIoctl.operate(-1, ZoneIoctl.BLKRESETZONE, 0, 512)).isEqualTo(-9);
        assertThat(ZoneIoctl.report(-1, 0, report, 1)).isEqualTo(-9);
        NativeMemory.free(report);
    }
}
