// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.ZoneIoctl;

/**
 * The zones of a host-managed device, on one loop. Runs on its loop; ioctls on workers.
 *
 * <p>The table mirrors the device, whose only user we are: it says where appends go and which errors are the guest's. The
 * device counts its open and active zones itself. After any failure the device is asked how the zone stands.
 */
final class DeviceZonesChannel extends ZonedBlockChannel {
    private final int fd;

    DeviceZonesChannel(
            IoContext context, BlockChannel disk, ZoneTable table, RangeLock zoneLock, int fd, boolean readOnly) {
        super(context, disk, table, zoneLock, readOnly);
        this.fd = fd;
    }

    @Override
    int readZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        return disk.readv(offsetBytes, iovAddress, iovCount, lengthBytes);
    }

    @Override
    int writeZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        int result = disk.writev(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        table.endWrite(zone, result == 0 ? lengthBytes : 0);
        if (result != 0) {
            refresh(zone);
        }
        return result;
    }

    @Override
    int operateZone(ZoneOperation operation, int zone) {
        if (!table.permits(operation, zone)) {
            return -Errno.EINVAL;
        }
        long startBytes = table.startBytes(zone);
        long lengthBytes = table.lengthBytes(zone);
        int request = switch (operation) {
            case OPEN -> ZoneIoctl.BLKOPENZONE;
            case CLOSE -> ZoneIoctl.BLKCLOSEZONE;
            case FINISH -> ZoneIoctl.BLKFINISHZONE;
            case RESET -> ZoneIoctl.BLKRESETZONE;
        };
        int result = context.runBlocking(() -> ZoneIoctl.operate(fd, request, startBytes, lengthBytes));
        if (result != 0) {
            refresh(zone);
            return result;
        }
        return table.operate(operation, zone);
    }

    private void refresh(int zone) {
        long startBytes = table.startBytes(zone);
        context.runBlocking(() -> DeviceZones.refresh(fd, table, zone, startBytes));
    }

    @Override
    public int report(long offsetBytes, long reportAddress, int zonesMax) {
        return context.runBlocking(() -> ZoneIoctl.report(fd, offsetBytes, reportAddress, zonesMax));
    }

    @Override
    public int flush() {
        return disk.flush();
    }
}
