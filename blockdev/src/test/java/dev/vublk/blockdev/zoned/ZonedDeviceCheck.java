// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.linux.ZoneIoctl.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.blockdev.ZonedLimits;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Random;

/**
 * What a real host-managed device must do, by its ioctls. Also a program, for a guest whose kernel has such a device:
 * {@code java … ZonedDeviceCheck /dev/nullb0}. Destroys what is on the device.
 */
final class ZonedDeviceCheck {
    private final TestDisk disk;
    private final ZonedChannel zones;
    private final long zoneBytes;
    private final long report = NativeMemory.allocateZeroed(REPORT_BYTES + 4096L * ZONE_BYTES);

    private ZonedDeviceCheck(TestDisk disk) {
        this.disk = disk;
        this.zones = Objects.requireNonNull(disk.channel.zones(), "the device has no zones");
        this.zoneBytes = Objects.requireNonNull(disk.driver.limits().zoned()).zoneBytes();
    }

    @SuppressWarnings("SystemOut") // a program's answer
    public static void main(String[] arguments) throws Exception {
        run(Path.of(arguments[0]));
        System.out.println("zoned device: right");
    }

    static void run(Path device) throws Exception {
        assertThatThrownBy(() -> new TestDisk(TestDisk.options(device), PlainLoop.withoutRing()))
                .hasMessageContaining("is a host-managed zoned device: use cache=none");
        for (PlainLoop loop : new PlainLoop[] {PlainLoop.withoutRing(), PlainLoop.withRing()}) {
            try (TestDisk disk = new TestDisk(TestDisk.options(device, CacheMode.NONE), loop)) {
                new ZonedDeviceCheck(disk).run();
            }
        }
    }

    private void run() throws Exception {
        ZonedLimits limits = Objects.requireNonNull(disk.driver.limits().zoned());
        assertThat(disk.driver.limits().supportsDiscard()).isFalse();
        assertThat(disk.loop.run(zones::resetAll)).isZero();
        int count = disk.loop.run(() -> zones.report(0, report, 4096));
        assertThat((long) count).isEqualTo(Math.ceilDiv(disk.driver.limits().sizeBytes(), zoneBytes));
        int zone = 0;
        while (type(report, zone) == BLK_ZONE_TYPE_CONVENTIONAL) {
            zone++;
        }
        writesAndAppends(zone, limits);
        states(zone);
        disk.loop.run(zones::resetAll);
        limits(zone, limits);
        assertThat(disk.loop.run(zones::resetAll)).isZero();
    }

    private void writesAndAppends(int zone, ZonedLimits limits) throws Exception {
        long start = zone * zoneBytes;
        byte[] first = data(8192, 1);
        assertThat(disk.write(start, first, false)).isZero();
        assertThat(disk.write(start, first, false)).isEqualTo(-Errno.ESPIPE);
        assertThat(disk.write(start + 16384, first, false)).isEqualTo(-Errno.ESPIPE);
        assertThat(append(start, data(4096, 2))).isEqualTo(start + 8192);
        assertThat(disk.write(start + 12288, data(4096, 3), true)).isZero();
        assertThat(append(start + 4096, first)).isEqualTo(-Errno.EINVAL);
        assertThat(disk.flush()).isZero();
        assertThat(disk.read(start, 8192)).isEqualTo(first);
        assertThat(disk.read(start + 8192, 4096)).isEqualTo(data(4096, 2));
        assertThat(disk.read(start + 12288, 4096)).isEqualTo(data(4096, 3));
        try (TestVector across = TestVector.of(8192)) {
            assertThat(disk.read(start + zoneBytes - 4096, across)).isEqualTo(-Errno.EINVAL);
        }
        assertThat(pointer(zone)).isEqualTo(16384);
        assertThat(limits.writeGranularityBytes()).isPositive();
    }

    private void states(int zone) {
        assertThat(operate(ZoneOperation.CLOSE, zone)).isZero();
        assertThat(state(zone)).isEqualTo(BLK_ZONE_COND_CLOSED);
        assertThat(operate(ZoneOperation.OPEN, zone)).isZero();
        assertThat(state(zone)).isEqualTo(BLK_ZONE_COND_EXP_OPEN);
        assertThat(operate(ZoneOperation.FINISH, zone)).isZero();
        assertThat(state(zone)).isEqualTo(BLK_ZONE_COND_FULL);
        assertThat(operate(ZoneOperation.OPEN, zone)).isEqualTo(-Errno.EINVAL);
        assertThat(operate(ZoneOperation.RESET, zone)).isZero();
        assertThat(state(zone)).isEqualTo(BLK_ZONE_COND_EMPTY);
        assertThat(operate(ZoneOperation.CLOSE, zone)).isEqualTo(-Errno.EINVAL);
        if (zone > 0) {
            assertThat(operate(ZoneOperation.RESET, 0))
                    .as("a conventional zone")
                    .isEqualTo(-Errno.EINVAL);
        }
        assertThat(append(zone * zoneBytes, data(4096, 4)))
                .as("after the reset")
                .isEqualTo(zone * zoneBytes);
    }

    /** The device counts; what it says comes through. */
    private void limits(int zone, ZonedLimits limits) {
        if (limits.openMax() == 0) {
            return;
        }
        for (int i = 0; i < limits.openMax(); i++) {
            assertThat(operate(ZoneOperation.OPEN, zone + i)).isZero();
        }
        int expected = limits.activeMax() == limits.openMax() ? -Errno.EOVERFLOW : -Errno.ETOOMANYREFS;
        assertThat(operate(ZoneOperation.OPEN, zone + limits.openMax())).isEqualTo(expected);
        assertThat(append((zone + limits.openMax()) * zoneBytes, data(4096, 5))).isEqualTo(expected);
        assertThat(state(zone + limits.openMax())).isEqualTo(BLK_ZONE_COND_EMPTY);
    }

    private static byte[] data(int bytes, int seed) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    private int operate(ZoneOperation operation, int zone) {
        return disk.loop.run(() -> zones.operate(operation, zone * zoneBytes));
    }

    private long append(long offsetBytes, byte[] data) {
        long[] result = new long[1];
        try (TestVector vector = TestVector.of(data.length)) {
            vector.put(data);
            disk.loop.run(() -> {
                result[0] = zones.append(offsetBytes, vector.iov(), vector.count(), vector.lengthBytes(), false);
                return 0;
            });
        }
        return result[0];
    }

    private int state(int zone) {
        assertThat(disk.loop.run(() -> zones.report(zone * zoneBytes, report, 1)))
                .isEqualTo(1);
        return condition(report, 0);
    }

    private long pointer(int zone) {
        assertThat(disk.loop.run(() -> zones.report(zone * zoneBytes, report, 1)))
                .isEqualTo(1);
        return pointerBytes(report, 0) - startBytes(report, 0);
    }
}
