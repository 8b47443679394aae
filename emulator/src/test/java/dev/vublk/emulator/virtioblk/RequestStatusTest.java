// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every status and every used length (virtio 1.2 sections 5.2.6 and 2.7.8) of a disk in a file. */
@ParameterizedClass
@EnumSource
final class RequestStatusTest {
    @Parameter
    RingKind rings = RingKind.SPLIT; // Set by JUnit.

    private static final int DISK_BYTES = 8 << 20;
    private static final long DISK_SECTORS = DISK_BYTES / 512;

    @TempDir
    Path directory;

    private Path image;
    private byte[] content;
    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestQueue queue;

    @BeforeEach
    void start() throws IOException {
        image = directory.resolve("disk.img");
        content = new byte[DISK_BYTES];
        new Random(1).nextBytes(content);
        Files.write(image, content);
        start(BlockOptions.of(image.toString()), 0);
    }

    private void start(BlockOptions options, long unwantedFeatures) throws IOException {
        emulator = new EmulatorUnderTest.Setup(directory).block(options).start();
        guest = Guest.connect(emulator, rings.unwantedFeatures | unwantedFeatures);
        queue = guest.queue();
    }

    private void restart(BlockOptions options, long unwantedFeatures) throws IOException {
        stop();
        start(options, unwantedFeatures);
    }

    @AfterEach
    void stop() {
        guest.close();
        emulator.close();
    }

    private static void check(GuestRequest request, int status, int usedBytes) {
        assertThat(request.status()).as("status").isEqualTo(status);
        assertThat(request.usedBytes()).as("used.len").isEqualTo(usedBytes);
    }

    private static byte[] pattern(int bytes) {
        byte[] data = new byte[bytes];
        new Random(bytes).nextBytes(data);
        return data;
    }

    private byte[] contentAt(long sector, int bytes) {
        return Arrays.copyOfRange(content, (int) sector * 512, (int) sector * 512 + bytes);
    }

    private byte[] fileAt(long sector, int bytes) throws IOException {
        return Arrays.copyOfRange(Files.readAllBytes(image), (int) sector * 512, (int) sector * 512 + bytes);
    }

    @Test
    void shouldReadAndCountDataAndStatus() {
        GuestRequest read = queue.run(read(3, 4096));
        check(read, OK, 4097);
        assertThat(read.answer()).isEqualTo(contentAt(3, 4096));
    }

    @Test
    void shouldReadTheLastSectorAndNotOneBehindIt() {
        check(queue.run(read(DISK_SECTORS - 1, 512)), OK, 513);
        check(queue.run(read(DISK_SECTORS, 512)), IOERR, 0);
        check(queue.run(read(DISK_SECTORS - 1, 1024)), IOERR, 0);
    }

    @Test
    void shouldWriteAndCountTheStatusOnly() throws IOException {
        byte[] data = pattern(8192);
        check(queue.run(write(7, data)), OK, 1);
        assertThat(fileAt(7, 8192)).isEqualTo(data);
        assertThat(queue.run(read(7, 8192)).answer()).isEqualTo(data);
    }

    @Test
    void shouldNotWriteAnyPartOfAWriteThatReachesBeyondTheEnd() throws IOException {
        check(queue.run(write(DISK_SECTORS - 1, pattern(1024))), IOERR, 1);
        assertThat(fileAt(DISK_SECTORS - 1, 512)).isEqualTo(contentAt(DISK_SECTORS - 1, 512));
        assertThat(Files.size(image)).isEqualTo(DISK_BYTES);
    }

    @ParameterizedTest
    @ValueSource(longs = {Long.MIN_VALUE, -1, Long.MAX_VALUE, Long.MAX_VALUE / 512, Long.MAX_VALUE / 512 + 1, 1L << 55})
    void shouldRefuseSectorsWhoseOffsetOverflows(long sector) {
        check(queue.run(read(sector, 512)), IOERR, 0);
        check(queue.run(write(sector, pattern(512))), IOERR, 1);
        check(queue.run(ranges(DISCARD, sector, 1, 0)), IOERR, 1);
        check(queue.run(ranges(WRITE_ZEROES, sector, 1, 0)), IOERR, 1);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 511, 513, 4095})
    void shouldRefuseLengthsThatAreNoWholeSectors(int bytes) {
        GuestRequest read = queue.run(read(0, bytes));
        check(read, IOERR, 0);
        assertThat(read.answer()).containsOnly(UNTOUCHED);
        check(queue.run(write(0, pattern(bytes))), IOERR, 1);
    }

    @Test
    void shouldTakeEmptyReadsAndWrites() {
        check(queue.run(read(0, 0)), OK, 1);
        check(queue.run(write(0, new byte[0])), OK, 1);
        check(queue.run(read(DISK_SECTORS, 0)), OK, 1);
        check(queue.run(read(DISK_SECTORS + 1, 0)), IOERR, 1);
    }

    @Test
    void shouldFlush() {
        check(queue.run(of(FLUSH, 0)), OK, 1);
        check(queue.run(of(FLUSH, 99)), OK, 1);
        // Data that a flush has no use for is neither read nor written.
        GuestRequest flush = queue.run(of(FLUSH, 0).data(pattern(512)).room(512));
        check(flush, OK, 0);
        assertThat(flush.answer()).containsOnly(UNTOUCHED);
    }

    @Test
    void shouldAnswerGetIdWithTwentyBytesPaddedWithNul() {
        GuestRequest id = queue.run(of(GET_ID, 0).room(20));
        check(id, OK, 21);
        assertThat(id.answer()).isEqualTo(Arrays.copyOf("serial-0".getBytes(UTF_8), 20));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 8, 19})
    void shouldCutTheIdForAShorterBuffer(int bytes) {
        GuestRequest id = queue.run(of(GET_ID, 0).room(bytes));
        check(id, OK, bytes + 1);
        assertThat(id.answer()).isEqualTo(Arrays.copyOf("serial-0".getBytes(UTF_8), bytes));
    }

    @ParameterizedTest
    @ValueSource(ints = {21, 512})
    void shouldLeaveTheRestOfALongerBufferAlone(int bytes) {
        GuestRequest id = queue.run(of(GET_ID, 0).room(bytes));
        check(id, OK, 20); // a gap lies before the status
        assertThat(Arrays.copyOf(id.answer(), 20)).isEqualTo(Arrays.copyOf("serial-0".getBytes(UTF_8), 20));
        assertThat(Arrays.copyOfRange(id.answer(), 20, bytes)).containsOnly(UNTOUCHED);
    }

    @Test
    void shouldAnswerASerialOfTwentyBytesWithoutTerminator() throws IOException {
        stop();
        VirtioBlkSettings settings =
                new VirtioBlkSettings("abcdefghijklmnopqrstuvwxyz", 1, 128, true, 126, true, true, 1);
        emulator = new EmulatorUnderTest.Setup(directory).settings(settings).start();
        guest = Guest.connect(emulator, rings);
        assertThat(guest.queue().run(of(GET_ID, 0).room(20)).answer())
                .isEqualTo("abcdefghijklmnopqrst".getBytes(UTF_8));
    }

    @Test
    void shouldDiscardSeveralRanges() throws IOException {
        check(queue.run(ranges(DISCARD, 16, 8, 0, 64, 16, 0)), OK, 1);
        assertThat(fileAt(16, 8 * 512)).containsOnly(0);
        assertThat(fileAt(64, 16 * 512)).containsOnly(0);
        assertThat(fileAt(24, 40 * 512)).isEqualTo(contentAt(24, 40 * 512));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void shouldWriteZeroesWithAndWithoutUnmap(int flags) throws IOException {
        check(queue.run(ranges(WRITE_ZEROES, 3, 5, flags, 1000, 1, flags)), OK, 1);
        assertThat(fileAt(3, 5 * 512)).containsOnly(0);
        assertThat(fileAt(1000, 512)).containsOnly(0);
        assertThat(fileAt(0, 3 * 512)).isEqualTo(contentAt(0, 3 * 512));
        assertThat(fileAt(8, 992 * 512)).isEqualTo(contentAt(8, 992 * 512));
    }

    @ParameterizedTest
    @ValueSource(ints = {DISCARD, WRITE_ZEROES})
    void shouldTakeRangesWithoutSectors(int type) {
        check(queue.run(ranges(type, 8, 0, 0)), OK, 1);
        check(queue.run(ranges(type, DISK_SECTORS, 0, 0, 8, 8, 0)), OK, 1);
    }

    @ParameterizedTest
    @ValueSource(ints = {DISCARD, WRITE_ZEROES})
    void shouldRefuseRangesBeyondTheEndAndTouchNone(int type) throws IOException {
        check(queue.run(ranges(type, 0, 8, 0, DISK_SECTORS - 1, 2, 0)), IOERR, 1);
        check(queue.run(ranges(type, 0, 8, 0, DISK_SECTORS, 1, 0)), IOERR, 1);
        check(queue.run(ranges(type, 0, 0xffffffffL, 0)), IOERR, 1);
        assertThat(fileAt(0, 4096)).isEqualTo(contentAt(0, 4096));
        check(queue.run(ranges(type, DISK_SECTORS - 1, 1, 0)), OK, 1);
    }

    @ParameterizedTest
    @ValueSource(longs = {2, 3, 0x80000000L, 0xffffffffL})
    void shouldNotSupportUnknownFlags(long flags) throws IOException {
        check(queue.run(ranges(DISCARD, 0, 8, flags)), UNSUPP, 1);
        check(queue.run(ranges(WRITE_ZEROES, 0, 8, flags)), UNSUPP, 1);
        check(queue.run(ranges(WRITE_ZEROES, 0, 8, 0, 8, 8, flags)), UNSUPP, 1);
        assertThat(fileAt(0, 4096)).isEqualTo(contentAt(0, 4096));
    }

    @Test
    void shouldNotSupportUnmapOnDiscard() {
        check(queue.run(ranges(DISCARD, 0, 8, 1)), UNSUPP, 1);
    }

    @ParameterizedTest
    @ValueSource(ints = {DISCARD, WRITE_ZEROES})
    void shouldRefuseNoneTooManyAndHalfSegments(int type) {
        check(queue.run(of(type, 0)), IOERR, 1);
        check(queue.run(of(type, 0).data(new byte[15])), IOERR, 1);
        check(queue.run(of(type, 0).data(new byte[17])), IOERR, 1);
        check(queue.run(ranges(type, manyRanges(16))), OK, 1);
        check(queue.run(ranges(type, manyRanges(17))), IOERR, 1);
    }

    private static long[] manyRanges(int count) {
        return IntStream.range(0, 3 * count)
                .mapToLong(i -> new long[] {8L * (i / 3), 8, 0}[i % 3])
                .toArray();
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 5, 7, 9, 10, 12, 14, 15, 16, 24, 0x80000000, 0x80000001, -1})
    void shouldNotSupportOtherTypes(int type) {
        check(queue.run(of(type, 0)), UNSUPP, 1);
        GuestRequest withRoom = queue.run(of(type, 0).room(512));
        check(withRoom, UNSUPP, 0);
        assertThat(withRoom.answer()).containsOnly(UNTOUCHED);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 8, 15})
    void shouldRefuseAHeaderThatIsTooShort(int bytes) {
        check(queue.run(ofBytes(new byte[bytes])), IOERR, 1);
        check(queue.run(ofBytes(new byte[bytes]).room(512)), IOERR, 0);
    }

    @Test
    void shouldRefuseAllThatWritesOnAReadOnlyDisk() throws IOException {
        BlockOptions options = BlockOptions.of(image.toString()).withReadOnly(true);
        restart(options, 0);
        check(queue.run(write(0, pattern(512))), IOERR, 1);
        check(queue.run(write(DISK_SECTORS, pattern(512))), IOERR, 1);
        check(queue.run(ranges(DISCARD, 0, 8, 0)), IOERR, 1);
        check(queue.run(ranges(WRITE_ZEROES, 0, 8, 0)), IOERR, 1);
        check(queue.run(of(FLUSH, 0)), OK, 1);
        check(queue.run(read(0, 512)), OK, 513);
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void shouldNotSupportWhatWasNotNegotiated() throws IOException {
        restart(
                BlockOptions.of(image.toString()),
                VirtioBlkSpec.VIRTIO_BLK_F_DISCARD | VirtioBlkSpec.VIRTIO_BLK_F_WRITE_ZEROES);
        check(queue.run(ranges(DISCARD, 0, 8, 0)), UNSUPP, 1);
        check(queue.run(ranges(WRITE_ZEROES, 0, 8, 0)), UNSUPP, 1);
        assertThat(fileAt(0, 4096)).isEqualTo(contentAt(0, 4096));
    }

    @Test
    void shouldAnswerAnIoErrorWhenTheFileIsShorterThanTheDisk() throws IOException {
        try (var file = Files.newByteChannel(image, java.nio.file.StandardOpenOption.WRITE)) {
            file.truncate(4096);
        }
        check(queue.run(read(8, 512)), IOERR, 0);
        check(queue.run(read(7, 512)), OK, 513);
    }
}
