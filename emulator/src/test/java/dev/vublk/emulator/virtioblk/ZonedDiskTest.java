// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import dev.vublk.vhostuser.memory.HostMemory;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A host-managed zoned disk (virtio 1.2 section 5.2.6) as a driver sees it; 8 zones, the first one conventional. */
final class ZonedDiskTest {
    private static final int ZONE_SECTORS = 512;
    private static final int CAPACITY_SECTORS = 480;
    private static final int ZONES = 8;
    private static final long DISK_SECTORS = ZONES * ZONE_SECTORS;
    private static final long ZONED_FEATURE = 1L << 17;

    private static final int EMPTY = 1;
    private static final int IOPEN = 2;
    private static final int EOPEN = 3;
    private static final int CLOSED = 4;
    private static final int FULL = 14;

    @TempDir
    Path directory;

    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestQueue queue;

    private BlockOptions options(boolean readOnly) throws IOException {
        Path image = directory.resolve("disk.img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(DISK_SECTORS * 512);
        }
        ZoneOptions zones = new ZoneOptions(
                directory.resolve("zones").toString(), ZONE_SECTORS * 512, CAPACITY_SECTORS * 512, 1, 2, 3);
        return BlockOptions.of(image.toString()).withReadOnly(readOnly).withZones(zones);
    }

    @BeforeEach
    void start() throws IOException {
        start(false, 0);
    }

    private void start(boolean readOnly, long unwantedFeatures) throws IOException {
        emulator = startEmulator(readOnly);
        guest = Guest.connect(emulator, unwantedFeatures);
        queue = guest.queue();
    }

    private EmulatorUnderTest startEmulator(boolean readOnly) throws IOException {
        VirtioBlkSettings settings = new VirtioBlkSettings("z", 4, 128, true, 126, true, true, 32, true, null, null);
        return new EmulatorUnderTest.Setup(directory)
                .block(options(readOnly))
                .settings(settings)
                .ioThreads(2)
                .start();
    }

    @AfterEach
    void stop() {
        guest.close();
        emulator.close();
    }

    private int status(GuestRequest request) {
        return queue.run(request).status();
    }

    private int operate(int type, int zone) {
        return status(of(type, (long) zone * ZONE_SECTORS));
    }

    private static byte[] data(int sectors, int seed) {
        byte[] data = new byte[512 * sectors];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static GuestRequest append(int zone, byte[] data) {
        return of(ZONE_APPEND, (long) zone * ZONE_SECTORS).data(data).room(8);
    }

    private static long sector(GuestRequest append) {
        return ByteBuffer.wrap(append.answer()).order(ByteOrder.LITTLE_ENDIAN).getLong();
    }

    private int stateOf(int zone) {
        return report((long) zone * ZONE_SECTORS, 1).get(64 + 25);
    }

    private ByteBuffer report(long sector, int room) {
        GuestRequest report = queue.run(of(ZONE_REPORT, sector).room(64 + 64 * room));
        assertThat(report.status()).isEqualTo(OK);
        return ByteBuffer.wrap(report.answer()).order(ByteOrder.LITTLE_ENDIAN);
    }

    @Test
    void shouldTellItsZones() throws IOException {
        long features = guest.frontend().getFeatures();
        assertThat(features & ZONED_FEATURE).isNotZero();
        assertThat(features & (1L << 13 | 1L << 14))
                .as("no DISCARD, no WRITE_ZEROES")
                .isZero();
        ByteBuffer config = ByteBuffer.wrap(guest.frontend().getConfig(60, 36)).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(config.getInt()).as("max_secure_erase_sectors").isPositive();
        assertThat(config.getInt()).as("max_secure_erase_seg").isEqualTo(32);
        assertThat(config.getInt()).as("secure_erase_sector_alignment").isEqualTo(ZONE_SECTORS);
        assertThat(config.getInt()).as("zone_sectors").isEqualTo(ZONE_SECTORS);
        assertThat(config.getInt()).as("max_open_zones").isEqualTo(2);
        assertThat(config.getInt()).as("max_active_zones").isEqualTo(3);
        assertThat(config.getInt()).as("max_append_sectors").isEqualTo(CAPACITY_SECTORS);
        assertThat(config.getInt()).as("write_granularity").isEqualTo(512);
        assertThat(config.getInt()).as("model and padding").isEqualTo(1);
    }

    @Test
    void shouldReportZonesAndFillNothingElse() {
        status(write(2 * ZONE_SECTORS, data(7, 1)));
        ByteBuffer report = report(0, 10);
        assertThat(report.getLong(0)).isEqualTo(ZONES);
        for (int i = 8; i < 64; i++) {
            assertThat(report.get(i)).isZero();
        }
        assertThat(report.getLong(64)).as("z_cap of a conventional zone").isEqualTo(ZONE_SECTORS);
        assertThat(report.get(64 + 24)).as("z_type").isEqualTo((byte) 1);
        assertThat(report.get(64 + 25)).as("z_state").isZero();
        int third = 64 + 2 * 64;
        assertThat(report.getLong(third)).as("z_cap").isEqualTo(CAPACITY_SECTORS);
        assertThat(report.getLong(third + 8)).as("z_start").isEqualTo(2 * ZONE_SECTORS);
        assertThat(report.getLong(third + 16)).as("z_wp").isEqualTo(2 * ZONE_SECTORS + 7);
        assertThat(report.get(third + 24)).as("z_type").isEqualTo((byte) 2);
        assertThat(report.get(third + 25)).as("z_state").isEqualTo((byte) IOPEN);
        for (int i = third + 26; i < third + 64; i++) {
            assertThat(report.get(i)).isZero();
        }
        assertThat(report.get(64 + 8 * 64)).as("behind the last zone").isEqualTo(UNTOUCHED);
    }

    @Test
    void shouldReportFromTheZoneThatHoldsTheSector() {
        GuestRequest request = queue.run(
                of(ZONE_REPORT, 3 * ZONE_SECTORS + 17).room(64 + 2 * 64 + 63).cutWritable(1, 70, 64, 3));
        assertThat(request.status()).isEqualTo(OK);
        assertThat(request.usedBytes()).isEqualTo(64 + 2 * 64);
        ByteBuffer report = ByteBuffer.wrap(request.answer()).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(report.getLong(0)).as("as many as there is room for").isEqualTo(2);
        assertThat(report.getLong(64 + 8)).isEqualTo(3 * ZONE_SECTORS);
        assertThat(report.getLong(128 + 8)).isEqualTo(4 * ZONE_SECTORS);

        assertThat(report(0, 0).getLong(0)).as("room for none").isZero();
        assertThat(status(of(ZONE_REPORT, 0).room(63))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(of(ZONE_REPORT, DISK_SECTORS).room(128))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(of(ZONE_REPORT, -1).room(128))).isEqualTo(ZONE_INVALID_CMD);
    }

    @Test
    void shouldAppendAndTellWhere() {
        GuestRequest first = queue.run(append(2, data(3, 1)));
        assertThat(first.status()).isEqualTo(OK);
        assertThat(first.usedBytes()).isEqualTo(9);
        assertThat(sector(first)).isEqualTo(2 * ZONE_SECTORS);
        assertThat(sector(queue.run(append(2, data(5, 2))))).isEqualTo(2 * ZONE_SECTORS + 3);
        assertThat(queue.run(read(2 * ZONE_SECTORS + 3, 5 * 512)).answer()).isEqualTo(data(5, 2));
    }

    /** Linux' driver has 7 bytes of padding between the sector and the status. */
    @Test
    void shouldFindRoomForTheSectorWhereDriversHaveIt() {
        GuestRequest padded = queue.run(
                of(ZONE_APPEND, 2 * ZONE_SECTORS).data(data(1, 1)).room(15).cutWritable(16));
        assertThat(padded.status()).isEqualTo(OK);
        assertThat(padded.usedBytes()).isEqualTo(8);
        assertThat(sector(padded)).isEqualTo(2 * ZONE_SECTORS);
        GuestRequest cut = queue.run(
                of(ZONE_APPEND, 2 * ZONE_SECTORS).data(data(1, 1)).room(8).cutWritable(3, 4));
        assertThat(sector(cut)).isEqualTo(2 * ZONE_SECTORS + 1);
        assertThat(status(of(ZONE_APPEND, 2 * ZONE_SECTORS).data(data(1, 1)).room(7)))
                .isEqualTo(IOERR);
    }

    @Test
    void shouldRefuseAppendsThatNoZoneTakes() {
        assertThat(status(append(0, data(1, 1)))).as("conventional").isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(of(ZONE_APPEND, 2 * ZONE_SECTORS + 1).data(data(1, 1)).room(8)))
                .isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(append(2, data(CAPACITY_SECTORS + 1, 1)))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(append(2, new byte[511]))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(append(ZONES, data(1, 1)))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(stateOf(2)).isEqualTo(EMPTY);
    }

    @Test
    void shouldTakeWritesAtTheWritePointerOnly() {
        long start = 3 * ZONE_SECTORS;
        assertThat(status(write(start + 1, data(1, 1)))).isEqualTo(ZONE_UNALIGNED_WP);
        assertThat(status(write(start, data(2, 1)))).isEqualTo(OK);
        assertThat(status(write(start, data(2, 1)))).isEqualTo(ZONE_UNALIGNED_WP);
        assertThat(status(write(start + 2, data(CAPACITY_SECTORS - 1, 1)))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(write(start + 2, data(CAPACITY_SECTORS - 2, 1)))).isEqualTo(OK);
        assertThat(stateOf(3)).isEqualTo(FULL);
        assertThat(status(write(start + CAPACITY_SECTORS, data(1, 1)))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(write(start + ZONE_SECTORS - 1, data(2, 1)))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(read(start + ZONE_SECTORS - 1, 1024))).isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(write(5, data(20, 1)))).as("conventional").isEqualTo(OK);
        assertThat(status(write(DISK_SECTORS, data(1, 1))))
                .as("beyond the disk")
                .isEqualTo(IOERR);
    }

    @Test
    void shouldReadWhatWasNotWrittenAsZeroes() {
        status(write(2 * ZONE_SECTORS, data(2, 1)));
        byte[] expected = Arrays.copyOf(data(2, 1), 4 * 512);
        assertThat(queue.run(read(2 * ZONE_SECTORS, 4 * 512)).answer()).isEqualTo(expected);
        assertThat(queue.run(read(2 * ZONE_SECTORS, 4 * 512).cutWritable(700, 100, 1))
                        .answer())
                .isEqualTo(expected);
    }

    @Test
    void shouldOpenCloseFinishAndReset() {
        assertThat(operate(ZONE_OPEN, 1)).isEqualTo(OK);
        assertThat(stateOf(1)).isEqualTo(EOPEN);
        assertThat(operate(ZONE_CLOSE, 1)).isEqualTo(OK);
        assertThat(stateOf(1)).as("nothing written").isEqualTo(EMPTY);
        assertThat(operate(ZONE_CLOSE, 1)).isEqualTo(ZONE_INVALID_CMD);
        status(write(ZONE_SECTORS, data(1, 1)));
        assertThat(operate(ZONE_CLOSE, 1)).isEqualTo(OK);
        assertThat(stateOf(1)).isEqualTo(CLOSED);
        assertThat(operate(ZONE_FINISH, 1)).isEqualTo(OK);
        assertThat(stateOf(1)).isEqualTo(FULL);
        assertThat(operate(ZONE_OPEN, 1)).isEqualTo(ZONE_INVALID_CMD);
        assertThat(operate(ZONE_RESET, 1)).isEqualTo(OK);
        assertThat(stateOf(1)).isEqualTo(EMPTY);
        assertThat(queue.run(read(ZONE_SECTORS, 512)).answer()).containsOnly(0);
    }

    @ParameterizedTest
    @ValueSource(ints = {ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET})
    void shouldRefuseOperationsOnOtherThanSequentialZones(int type) {
        assertThat(operate(type, 0)).as("conventional").isEqualTo(ZONE_INVALID_CMD);
        assertThat(operate(type, ZONES)).as("beyond the disk").isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(of(type, ZONE_SECTORS + 1))).as("inside a zone").isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(of(type, -1))).isEqualTo(ZONE_INVALID_CMD);
    }

    @Test
    void shouldTellWhichResourceIsMissing() {
        assertThat(operate(ZONE_OPEN, 1)).isEqualTo(OK);
        assertThat(operate(ZONE_OPEN, 2)).isEqualTo(OK);
        assertThat(operate(ZONE_OPEN, 3)).isEqualTo(ZONE_OPEN_RESOURCE);
        assertThat(status(write(3 * ZONE_SECTORS, data(1, 1)))).isEqualTo(ZONE_OPEN_RESOURCE);
        status(write(ZONE_SECTORS, data(1, 1)));
        assertThat(operate(ZONE_CLOSE, 1)).isEqualTo(OK);
        assertThat(status(append(3, data(1, 1)))).isEqualTo(OK);
        assertThat(status(append(4, data(1, 1)))).isEqualTo(ZONE_ACTIVE_RESOURCE);
        assertThat(operate(ZONE_RESET_ALL, 0)).isEqualTo(OK);
        for (int zone = 1; zone < ZONES; zone++) {
            assertThat(stateOf(zone)).isEqualTo(EMPTY);
        }
    }

    /** Several queues on two IOThreads append to one zone: every sector once. */
    @Test
    void shouldAppendFromSeveralQueues() throws IOException {
        GuestQueue[] queues = {
            queue,
            guest.queue(1, 128).start(),
            guest.queue(2, 128).start(),
            guest.queue(3, 128).start()
        };
        GuestRequest[] appends = new GuestRequest[120];
        for (int i = 0; i < appends.length; i++) {
            appends[i] = append(5, data(4, i));
            queues[i % 4].add(appends[i]);
        }
        for (GuestQueue each : queues) {
            each.publishAndKick();
        }
        for (GuestQueue each : queues) {
            each.awaitAll();
        }
        boolean[] taken = new boolean[CAPACITY_SECTORS / 4];
        for (int i = 0; i < appends.length; i++) {
            assertThat(appends[i].status()).isEqualTo(OK);
            long sector = sector(appends[i]) - 5 * ZONE_SECTORS;
            assertThat(taken[(int) sector / 4]).isFalse();
            taken[(int) sector / 4] = true;
            assertThat(queue.run(read(5 * ZONE_SECTORS + sector, 4 * 512)).answer())
                    .isEqualTo(data(4, i));
        }
        assertThat(stateOf(5)).isEqualTo(FULL);
    }

    @Test
    void shouldEraseWholeZones() {
        status(write(2 * ZONE_SECTORS, data(9, 1)));
        assertThat(status(ranges(SECURE_ERASE, 2 * ZONE_SECTORS, 8, 0))).isEqualTo(IOERR);
        assertThat(status(ranges(SECURE_ERASE, 0, ZONE_SECTORS, 0)))
                .as("conventional")
                .isEqualTo(ZONE_INVALID_CMD);
        assertThat(status(ranges(SECURE_ERASE, 2 * ZONE_SECTORS, 2 * ZONE_SECTORS, 0)))
                .isEqualTo(OK);
        assertThat(stateOf(2)).isEqualTo(EMPTY);
    }

    /** Section 5.2.5.2: such a driver must not use the disk; section 5.2.6.2: and zone requests are unsupported. */
    @Test
    void shouldRefuseADriverThatKnowsNoZones() throws IOException {
        stop();
        start(false, ZONED_FEATURE);
        assertThat(status(read(0, 512))).isEqualTo(IOERR);
        assertThat(status(write(0, data(1, 1)))).isEqualTo(IOERR);
        for (int type : new int[] {ZONE_REPORT, ZONE_OPEN, ZONE_CLOSE, ZONE_FINISH, ZONE_RESET, ZONE_RESET_ALL}) {
            assertThat(status(of(type, ZONE_SECTORS).room(128))).isEqualTo(UNSUPP);
        }
        assertThat(status(append(1, data(1, 1)))).isEqualTo(UNSUPP);
    }

    @Test
    void shouldOnlyReadAndReportAReadOnlyDisk() throws IOException {
        status(write(2 * ZONE_SECTORS, data(1, 1)));
        stop();
        start(true, 0);
        assertThat(queue.run(read(2 * ZONE_SECTORS, 512)).answer()).isEqualTo(data(1, 1));
        assertThat(report(0, 8).getLong(0)).isEqualTo(ZONES);
        assertThat(status(write(2 * ZONE_SECTORS + 1, data(1, 1)))).isEqualTo(IOERR);
        assertThat(status(append(2, data(1, 1)))).isEqualTo(IOERR);
        assertThat(operate(ZONE_RESET, 2)).isEqualTo(IOERR);
        assertThat(operate(ZONE_RESET_ALL, 0)).isEqualTo(IOERR);
    }

    /**
     * A back end that was killed after it had carried a write out, and before it told the driver: ring and region are made as
     * that leaves them. The next one gives the write a success, and writes nothing a second time.
     */
    @Test
    void shouldAnswerAReplayedWriteThatWasDone() throws IOException {
        stop();
        emulator = startEmulator(false);
        guest = Guest.connect(emulator, RingKind.SPLIT).trackInflight(1, 128);
        queue = guest.queue();
        GuestRequest done = queue.run(write(2 * ZONE_SECTORS, data(8, 1)));
        assertThat(done.status()).isEqualTo(OK);
        assertThat(queue.stop()).isEqualTo(1);
        long statusAddress = done.statusAddress();
        HostMemory.putByte(statusAddress, (byte) 0x7f);
        int head = HostMemory.getInt(queue.ring().usedAddress() + 4);
        HostMemory.putU16Release(queue.ring().usedAddress() + 2, 0);
        guest.markInflight(head);
        guest.reconnect();
        queue.start(0, queue.kickFd(), queue.callFd());
        // The driver has had this used element before: it must not look until it is there again.
        long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (HostMemory.getU16Acquire(queue.ring().usedAddress() + 2) != 1) {
            assertThat(System.nanoTime()).isLessThan(deadlineNs);
            Thread.onSpinWait();
        }
        GuestRequest next = queue.run(write(2 * ZONE_SECTORS + 8, data(4, 2)));
        assertThat(next.status()).as("the pointer has not moved again").isEqualTo(OK);
        assertThat(HostMemory.getByte(statusAddress)).isEqualTo((byte) OK);
        assertThat(status(write(2 * ZONE_SECTORS, data(8, 1))))
                .as("the same write of a driver that lives")
                .isEqualTo(ZONE_UNALIGNED_WP);
    }
}
