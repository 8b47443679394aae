// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.linux.ZoneIoctl.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.FaultPlan.Operation;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import java.util.function.Predicate;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Zones emulated on a file: what is written where, and what is left of it after the process or the machine died. */
final class EmulatedZonesTest {
    private static final int ZONE = 256 << 10;
    private static final int CAPACITY = 192 << 10;
    private static final int ZONES = 8;
    /** The last zone is half a zone. */
    private static final int DISK_BYTES = ZONES * ZONE - ZONE / 2;

    @TempDir
    private Path directory;

    private Path image = Path.of("");
    private Path metadata = Path.of("");
    private Predicate<Operation> failing = operation -> false;

    @BeforeEach
    void createImage() throws IOException {
        image = TestImages.file(directory, DISK_BYTES);
        byte[] rubbish = new byte[DISK_BYTES];
        new Random(4).nextBytes(rubbish);
        Files.write(image, rubbish);
        metadata = directory.resolve("zones");
    }

    private BlockOptions options(CacheMode mode, boolean readOnly, ZoneOptions zones) {
        return BlockOptions.of(image.toString())
                .withReadOnly(readOnly)
                .withCacheMode(mode)
                .withZones(zones);
    }

    private ZoneOptions zones() {
        return new ZoneOptions(metadata.toString(), ZONE, CAPACITY, 2, 0, 0);
    }

    private TestDisk open() throws BlockOpenException {
        return open(options(CacheMode.WRITEBACK, false, zones()));
    }

    private TestDisk open(BlockOptions options) throws BlockOpenException {
        return new TestDisk(
                options,
                PlainLoop.withRing(
                        (operation, offset, length) -> failing.test(operation) ? -Errno.EIO : FaultPlan.NO_FAULT));
    }

    private static byte[] data(int bytes, int seed) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static ZonedChannel zonesOf(TestDisk disk) {
        return Objects.requireNonNull(disk.channel.zones());
    }

    private static int operate(TestDisk disk, ZoneOperation operation, int zone) {
        return disk.loop.run(() -> zonesOf(disk).operate(operation, (long) zone * ZONE));
    }

    private static long append(TestDisk disk, long offsetBytes, byte[] data) {
        long[] result = new long[1];
        try (TestVector vector = TestVector.of(data.length)) {
            vector.put(data);
            disk.loop.run(() -> {
                result[0] =
                        zonesOf(disk).append(offsetBytes, vector.iov(), vector.count(), vector.lengthBytes(), false);
                return 0;
            });
        }
        return result[0];
    }

    /** The write pointer's distance from the start of the zone, and the condition. */
    private record Zone(long written, int condition) {}

    private static Zone zone(TestDisk disk, int zone) {
        long report = NativeMemory.allocateZeroed(REPORT_BYTES + ZONE_BYTES);
        int found = disk.loop.run(() -> zonesOf(disk).report((long) zone * ZONE + 512, report, 1));
        assertThat(found).isEqualTo(1);
        Zone result = new Zone(pointerBytes(report, 0) - startBytes(report, 0), condition(report, 0));
        NativeMemory.free(report);
        return result;
    }

    @Test
    void shouldReportEveryZone() throws Exception {
        try (TestDisk disk = open()) {
            long report = NativeMemory.allocateZeroed(REPORT_BYTES + 16 * ZONE_BYTES);
            assertThat(disk.loop.run(() -> zonesOf(disk).report(0, report, 16))).isEqualTo(ZONES);
            assertThat(type(report, 1)).isEqualTo(BLK_ZONE_TYPE_CONVENTIONAL);
            assertThat(condition(report, 1)).isEqualTo(BLK_ZONE_COND_NOT_WP);
            assertThat(type(report, 2)).isEqualTo(BLK_ZONE_TYPE_SEQWRITE_REQ);
            assertThat(condition(report, 2)).isEqualTo(BLK_ZONE_COND_EMPTY);
            assertThat(capacityBytes(report, 2)).isEqualTo(CAPACITY);
            assertThat(startBytes(report, 7)).isEqualTo(7L * ZONE);
            assertThat(lengthBytes(report, 7)).as("the last zone").isEqualTo(ZONE / 2);
            assertThat(capacityBytes(report, 7)).isEqualTo(ZONE / 2);
            assertThat(disk.loop.run(() -> zonesOf(disk).report(3 * ZONE + 512, report, 2)))
                    .isEqualTo(2);
            assertThat(startBytes(report, 0)).isEqualTo(3L * ZONE);
            NativeMemory.free(report);
        }
    }

    @Test
    void shouldReadZeroesBehindTheWritePointerWhateverTheImageHolds() throws Exception {
        byte[] data = data(8192, 1);
        try (TestDisk disk = open()) {
            assertThat(disk.read(2 * ZONE, ZONE)).containsOnly(0);
            assertThat(disk.write(2 * ZONE, data, false)).isZero();
            assertThat(disk.read(2 * ZONE, ZONE)).isEqualTo(Arrays.copyOf(data, ZONE));
            assertThat(disk.read(2 * ZONE + 4096, 8192))
                    .isEqualTo(Arrays.copyOf(Arrays.copyOfRange(data, 4096, 8192), 8192));
            try (TestVector odd = TestVector.of(100, 0, 8000, 92 + 4096, 4096)) {
                assertThat(disk.read(2 * ZONE, odd)).isZero();
                assertThat(odd.get()).isEqualTo(Arrays.copyOf(data, 16384));
            }
        }
    }

    @Test
    void shouldLeaveConventionalZonesAlone() throws Exception {
        byte[] data = data(8192, 2);
        try (TestDisk disk = open()) {
            assertThat(disk.write(ZONE - 4096, data, false))
                    .as("across two of them")
                    .isZero();
            assertThat(disk.read(ZONE - 4096, 8192)).isEqualTo(data);
            assertThat(disk.write(2 * ZONE - 4096, data, false))
                    .as("into a sequential one")
                    .isEqualTo(-Errno.EINVAL);
            assertThat(append(disk, 0, data)).isEqualTo(-Errno.EINVAL);
            assertThat(operate(disk, ZoneOperation.RESET, 1)).isEqualTo(-Errno.EINVAL);
        }
    }

    @Test
    void shouldKeepTheRulesOfSequentialZones() throws Exception {
        try (TestDisk disk = open()) {
            assertThat(disk.write(2 * ZONE + 512, data(512, 1), false)).isEqualTo(-Errno.ESPIPE);
            assertThat(disk.write(2 * ZONE, data(ZONE + 512, 1), false)).isEqualTo(-Errno.EINVAL);
            assertThat(disk.write(2 * ZONE, data(CAPACITY + 512, 1), false)).isEqualTo(-Errno.EINVAL);
            assertThat(disk.write(2 * ZONE, data(CAPACITY, 1), false)).isZero();
            assertThat(zone(disk, 2)).isEqualTo(new Zone(ZONE, BLK_ZONE_COND_FULL));
            try (TestVector across = TestVector.of(1024)) {
                assertThat(disk.read(3 * ZONE - 512, across)).isEqualTo(-Errno.EINVAL);
            }
            assertThat(append(disk, 3 * ZONE + 512, data(512, 1))).isEqualTo(-Errno.EINVAL);
            assertThat(append(disk, 3 * ZONE, new byte[0])).isEqualTo(-Errno.EINVAL);
            assertThat(append(disk, 3 * ZONE, data(512, 1))).isEqualTo(3 * ZONE);
            assertThat(append(disk, 3 * ZONE, data(1024, 2))).isEqualTo(3 * ZONE + 512);
            assertThat(disk.read(3 * ZONE + 512, 1024)).isEqualTo(data(1024, 2));
            assertThat(disk.discard(3 * ZONE, ZONE)).isEqualTo(-Errno.EOPNOTSUPP);
            assertThat(disk.writeZeroes(3 * ZONE, ZONE, false, false)).isEqualTo(-Errno.EOPNOTSUPP);
            assertThat(disk.loop.run(() -> zonesOf(disk).resetAll())).isZero();
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
            assertThat(disk.read(3 * ZONE, ZONE)).containsOnly(0);
        }
    }

    private static int writeAgain(TestDisk disk, long offsetBytes, byte[] data, int... lengths) {
        try (TestVector vector = TestVector.of(lengths.length == 0 ? new int[] {data.length} : lengths)) {
            vector.put(data);
            return disk.loop.run(() ->
                    zonesOf(disk).writeAgain(offsetBytes, vector.iov(), vector.count(), vector.lengthBytes(), true));
        }
    }

    /** A write that was in flight when the process was killed is done once, whether it had been carried out or not. */
    @ParameterizedTest
    @ValueSource(strings = {"WRITEBACK", "NONE"})
    void shouldTellAReplayFromAWriteAtTheWrongPlace(CacheMode mode) throws Exception {
        byte[] first = data(100_352, 1);
        byte[] second = data(8192, 2);
        try (TestDisk disk = open(options(mode, false, zones()))) {
            assertThat(writeAgain(disk, 2 * ZONE, first)).as("not done yet").isZero();
            assertThat(zone(disk, 2).written()).isEqualTo(first.length);
            assertThat(writeAgain(disk, 2 * ZONE, first)).as("done already").isZero();
            assertThat(writeAgain(disk, 2 * ZONE, first, 300, 0, 70_000, 30_052))
                    .as("in other pieces")
                    .isZero();
            assertThat(disk.write(2 * ZONE + first.length, second, false)).isZero();
            assertThat(writeAgain(disk, 2 * ZONE, first))
                    .as("and so is one behind it")
                    .isZero();
            assertThat(zone(disk, 2).written()).isEqualTo(first.length + second.length);
            byte[] other = first.clone();
            other[first.length - 1] ^= 1;
            assertThat(writeAgain(disk, 2 * ZONE, other)).as("other data").isEqualTo(-Errno.ESPIPE);
            assertThat(disk.write(2 * ZONE, first, false)).as("no replay").isEqualTo(-Errno.ESPIPE);
            assertThat(writeAgain(disk, 2 * ZONE + first.length + 4096, Arrays.copyOfRange(second, 4096, 8192)))
                    .as("within one that was done")
                    .isZero();
            assertThat(writeAgain(disk, 2 * ZONE + first.length + 4096, second))
                    .as("across the pointer")
                    .isEqualTo(-Errno.ESPIPE);
            assertThat(operate(disk, ZoneOperation.FINISH, 2)).isZero();
            assertThat(writeAgain(disk, 2 * ZONE, first)).as("full since").isZero();
            assertThat(operate(disk, ZoneOperation.RESET, 2)).isZero();
            assertThat(writeAgain(disk, 2 * ZONE + first.length, second))
                    .as("what a reset took is not there")
                    .isEqualTo(-Errno.ESPIPE);
            assertThat(writeAgain(disk, 0, first)).as("conventional").isZero();
            assertThat(writeAgain(disk, 0, second)).as("conventional").isZero();
            assertThat(disk.read(0, second.length)).isEqualTo(second);
        }
    }

    @Test
    void shouldNotMoveThePointerWhenTheDiskFails() throws Exception {
        failing = operation -> operation == Operation.WRITE;
        try (TestDisk disk = open()) {
            assertThat(disk.write(2 * ZONE, data(4096, 1), false)).isEqualTo(-Errno.EIO);
            assertThat(append(disk, 2 * ZONE, data(4096, 1))).isEqualTo(-Errno.EIO);
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
        }
    }

    @Test
    void shouldAppendFromManyWithoutOverlapOrGap() throws Exception {
        try (TestDisk disk = open();
                Crew crew = new Crew()) {
            long[] offsets = new long[CAPACITY / 4096];
            for (int i = 0; i < offsets.length; i++) {
                int seed = i;
                crew.run(() -> offsets[seed] = append(disk, 4 * ZONE, data(4096, seed)));
            }
            crew.join();
            for (int i = 0; i < offsets.length; i++) {
                assertThat(disk.read(offsets[i], 4096)).isEqualTo(data(4096, i));
            }
            Arrays.sort(offsets);
            for (int i = 0; i < offsets.length; i++) {
                assertThat(offsets[i]).isEqualTo(4 * ZONE + i * 4096L);
            }
            assertThat(zone(disk, 4).condition()).isEqualTo(BLK_ZONE_COND_FULL);
        }
    }

    /** What the files look like at this moment is what a process that is killed leaves behind. */
    private void killProcess() throws IOException {
        copyAway();
    }

    /** The same, but the machine has started again since. */
    private void cutPower() throws IOException {
        copyAway();
        try (RandomAccessFile file = new RandomAccessFile(metadata.toFile(), "rw")) {
            file.seek(48);
            file.write(new byte[16]);
        }
    }

    private void copyAway() throws IOException {
        image = Files.copy(image, directory.resolve("disk.after"), StandardCopyOption.REPLACE_EXISTING);
        metadata = Files.copy(metadata, directory.resolve("zones.after"), StandardCopyOption.REPLACE_EXISTING);
    }

    @Test
    void shouldForgetNothingWhenTheProcessDies() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
            operate(disk, ZoneOperation.OPEN, 3);
            operate(disk, ZoneOperation.FINISH, 4);
            killProcess();
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(4096, BLK_ZONE_COND_IMP_OPEN));
            assertThat(zone(disk, 3)).isEqualTo(new Zone(0, BLK_ZONE_COND_EXP_OPEN));
            assertThat(zone(disk, 4).condition()).isEqualTo(BLK_ZONE_COND_FULL);
            assertThat(disk.read(2 * ZONE, 4096)).isEqualTo(data(4096, 1));
        }
    }

    @Test
    void shouldKeepWhatWasFlushedAndNoMoreWhenTheMachineDies() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
            operate(disk, ZoneOperation.OPEN, 3);
            assertThat(disk.flush()).isZero();
            disk.write(2 * ZONE + 4096, data(4096, 2), false);
            disk.write(5 * ZONE, data(4096, 3), false);
            cutPower();
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(4096, BLK_ZONE_COND_CLOSED));
            assertThat(zone(disk, 3)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
            assertThat(zone(disk, 5)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
            assertThat(disk.read(2 * ZONE, 8192)).isEqualTo(Arrays.copyOf(data(4096, 1), 8192));
        }
    }

    @Test
    void shouldKeepWhatWasWrittenThrough() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
            assertThat(disk.write(2 * ZONE + 4096, data(4096, 2), true)).isZero();
            cutPower();
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(8192, BLK_ZONE_COND_CLOSED));
        }
    }

    /** A reset that came back with the old pointer would show new data as old, or the other way round. */
    @Test
    void shouldKeepResetsAndFinishesWithoutAFlush() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(CAPACITY, 1), false);
            disk.write(3 * ZONE, data(4096, 2), false);
            assertThat(disk.flush()).isZero();
            assertThat(operate(disk, ZoneOperation.FINISH, 3)).isZero();
            // Last: a finish flushes, which would keep the reset, too.
            assertThat(operate(disk, ZoneOperation.RESET, 2)).isZero();
            disk.write(2 * ZONE, data(4096, 3), false);
            cutPower();
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
            assertThat(zone(disk, 3).condition()).isEqualTo(BLK_ZONE_COND_FULL);
            assertThat(disk.read(3 * ZONE, 8192)).isEqualTo(Arrays.copyOf(data(4096, 2), 8192));
        }
    }

    @Test
    void shouldKeepNoPointerWhoseDataCouldNotBeMadeStable() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
            failing = operation -> operation == Operation.FSYNC;
            assertThat(disk.flush()).isEqualTo(-Errno.EIO);
            failing = operation -> false;
            assertThat(disk.flush()).as("for ever").isEqualTo(-Errno.EIO);
            cutPower();
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
        }
    }

    @Test
    void shouldKeepEverythingAtAnOrderlyEnd() throws Exception {
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
        }
        cutPower();
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(4096, BLK_ZONE_COND_CLOSED));
        }
    }

    /** Random writes, appends, resets and finishes, with the disk closed and opened in between, against an array. */
    @ParameterizedTest
    @ValueSource(strings = {"WRITEBACK", "NONE"})
    void shouldAgreeWithAModel(CacheMode mode) throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] model = new byte[DISK_BYTES];
        int[] written = new int[ZONES];
        boolean[] full = new boolean[ZONES];
        BlockOptions options = options(mode, false, new ZoneOptions(metadata.toString(), ZONE, CAPACITY, 2, 2, 0));
        TestDisk disk = open(options);
        try {
            for (int i = 0; i < 600; i++) {
                int zone = 2 + random.nextInt(ZONES - 2);
                int capacity = zone == ZONES - 1 ? ZONE / 2 : CAPACITY;
                byte[] data = data(512 * (1 + random.nextInt(100)), i);
                int at = zone * ZONE + written[zone];
                boolean fits = !full[zone] && data.length <= capacity - written[zone];
                switch (random.nextInt(8)) {
                    case 0 -> {
                        assertThat(operate(disk, ZoneOperation.RESET, zone))
                                .as("seed " + seed)
                                .isZero();
                        Arrays.fill(model, zone * ZONE, zone * ZONE + capacity, (byte) 0);
                        written[zone] = 0;
                        full[zone] = false;
                    }
                    case 1 -> {
                        if (random.nextInt(4) == 0) {
                            assertThat(operate(disk, ZoneOperation.FINISH, zone))
                                    .as("seed " + seed)
                                    .isZero();
                            full[zone] = true;
                        }
                    }
                    case 2 -> {
                        if (random.nextInt(4) == 0) {
                            disk.close();
                            disk = open(options);
                        }
                    }
                    case 3 -> assertThat(disk.flush()).isZero();
                    default -> {
                        boolean append = random.nextBoolean();
                        long result = append
                                ? append(disk, (long) zone * ZONE, data)
                                : disk.write(at, data, random.nextInt(8) == 0);
                        assertThat(result)
                                .as("seed " + seed + ", step " + i)
                                .isEqualTo(fits ? append ? at : 0 : -Errno.EINVAL);
                        if (fits) {
                            System.arraycopy(data, 0, model, at, data.length);
                            written[zone] += data.length;
                            full[zone] = written[zone] == capacity;
                        }
                    }
                }
                int from = random.nextInt(ZONE / 1024);
                int bytes = 512 * (1 + random.nextInt(ZONE / 1024 - from));
                assertThat(disk.read(zone * ZONE + 512 * from, bytes))
                        .as("seed " + seed + ", step " + i)
                        .isEqualTo(
                                Arrays.copyOfRange(model, zone * ZONE + 512 * from, zone * ZONE + 512 * from + bytes));
            }
        } finally {
            disk.close();
        }
    }

    @Test
    void shouldEraseZones() throws Exception {
        try (TestDisk disk = open()) {
            assertThat(disk.driver.limits().secureEraseAlignmentBytes()).isPositive();
            disk.write(2 * ZONE, data(CAPACITY, 1), true);
            assertThat(disk.loop.run(() -> disk.channel.secureErase(2 * ZONE, 2 * ZONE)))
                    .isZero();
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
            assertThat(disk.loop.run(() -> disk.channel.secureErase(ZONE, ZONE)))
                    .as("a conventional zone")
                    .isEqualTo(-Errno.EINVAL);
        }
        assertThat(Arrays.copyOfRange(Files.readAllBytes(image), 2 * ZONE, 4 * ZONE))
                .containsOnly(0);
    }

    @Test
    void shouldServeReadOnly() throws Exception {
        BlockOptions readOnly = options(CacheMode.WRITEBACK, true, zones());
        assertThatThrownBy(() -> open(readOnly)).hasMessageContaining("read-only=on cannot make it");
        try (TestDisk disk = open()) {
            disk.write(2 * ZONE, data(4096, 1), false);
        }
        try (TestDisk disk = open(readOnly)) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(4096, BLK_ZONE_COND_IMP_OPEN));
            assertThat(disk.read(2 * ZONE, 8192)).isEqualTo(Arrays.copyOf(data(4096, 1), 8192));
            assertThat(disk.write(2 * ZONE + 4096, data(4096, 1), false)).isEqualTo(-Errno.EROFS);
            assertThat(operate(disk, ZoneOperation.RESET, 2)).isEqualTo(-Errno.EROFS);
            assertThat(append(disk, 2 * ZONE, data(512, 1))).isEqualTo(-Errno.EROFS);
            assertThat(disk.loop.run(() -> zonesOf(disk).resetAll())).isEqualTo(-Errno.EROFS);
        }
        cutPower();
        try (TestDisk disk = open(options(CacheMode.WRITEBACK, true, zones()))) {
            assertThat(zone(disk, 2)).isEqualTo(new Zone(4096, BLK_ZONE_COND_CLOSED));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "393216, 0, 2, 0, 0, zone-size: 393216 is no power of two",
        "32768, 0, 2, 0, 0, zone-size: 32768 is no power of two",
        "262144, 262656, 2, 0, 0, zone-capacity: 262656 is no multiple",
        "262144, 100, 2, 0, 0, zone-capacity: 100 is no multiple",
        "262144, 0, 8, 0, 0, conventional-zones: the disk has 8 zones",
        "262144, 0, 2, 5, 4, max-open-zones: open zones are active ones",
        "131072, 0, 2, 0, 0, was made for a disk of 1966080 bytes",
        "262144, 0, 3, 0, 0, was made for a disk of 1966080 bytes",
    })
    void shouldRefuse(long zoneBytes, long capacity, int conventional, int openMax, int activeMax, String message)
            throws Exception {
        open().close();
        ZoneOptions zones = new ZoneOptions(metadata.toString(), zoneBytes, capacity, conventional, openMax, activeMax);
        assertThatThrownBy(() -> open(options(CacheMode.WRITEBACK, false, zones)))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining(message);
    }

    @Test
    void shouldRefuseOtherFilesAndThoseInUse() throws Exception {
        Files.writeString(metadata, "a letter to somebody else");
        assertThatThrownBy(this::open).hasMessageContaining("is no metadata of zones");
        assertThat(Files.readString(metadata)).isEqualTo("a letter to somebody else");

        Files.delete(metadata);
        try (TestDisk disk = open()) {
            Path other = Files.copy(image, directory.resolve("other"));
            BlockOptions options = BlockOptions.of(other.toString()).withZones(zones());
            assertThatThrownBy(() -> open(options)).hasMessageContaining("is in use by another disk");
            assertThat(zone(disk, 2)).isEqualTo(new Zone(0, BLK_ZONE_COND_EMPTY));
        }
    }

    /** Damage costs the zone in question and no other. */
    @Test
    void shouldTakeADamagedZoneOffline() throws Exception {
        open().close();
        try (RandomAccessFile file = new RandomAccessFile(metadata.toFile(), "rw")) {
            file.seek(4096 + 8 * 3);
            file.write(new byte[] {9, 0, 0, 0, 0, 0, 0, 0});
        }
        try (TestDisk disk = open()) {
            assertThat(zone(disk, 3).condition()).isEqualTo(BLK_ZONE_COND_OFFLINE);
            assertThat(disk.write(3 * ZONE, data(512, 1), false)).isEqualTo(-Errno.EINVAL);
            try (TestVector vector = TestVector.of(512)) {
                assertThat(disk.read(3 * ZONE, vector)).isEqualTo(-Errno.EINVAL);
            }
            assertThat(disk.write(4 * ZONE, data(512, 1), false)).isZero();
            assertThat(disk.loop.run(() -> zonesOf(disk).resetAll())).isZero();
            assertThat(zone(disk, 4).condition()).isEqualTo(BLK_ZONE_COND_EMPTY);
        }
    }

    /** The zones are kept in memory from the start on: what the guest did to them elsewhere would be lost. */
    @Test
    void shouldRefuseToWaitForAMovingGuest() {
        BlockOptions options = BlockOptions.of(image.toString())
                .withLocking(BlockOptions.Locking.DEFERRED)
                .withZones(zones());
        assertThatThrownBy(() -> open(options)).hasMessageContaining("locking=deferred");
    }
}
