// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** How a request is cut into buffers means nothing (virtio 1.2 section 2.7.4.1). */
@ParameterizedClass
@EnumSource
final class RequestLayoutTest {
    @Parameter
    RingKind rings = RingKind.SPLIT; // Set by JUnit.

    private static final int BYTES = 1024 * 512;

    /** Each cuts a write and a read of so many bytes in another way. */
    enum Layout {
        USUAL(r -> r),
        HEADER_WITH_DATA(r -> r.cutReadable()),
        DATA_WITH_STATUS(r -> r.cutWritable()),
        BOTH(r -> r.cutReadable().cutWritable()),
        HEADER_SPLIT(r -> r.cutReadable(4, 4, 8)),
        HEADER_BYTE_BY_BYTE(r -> r.cutReadable(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
        HEADER_SPLIT_AND_WITH_DATA(r -> r.cutReadable(9, 100, 412)),
        ODD_PIECES(r -> r.cutReadable(3, 50, 1, 700).cutWritable(1, 333, 7)),
        EMPTY_BUFFERS(r -> r.cutReadable(0, 16, 0, 0, 512, 0).cutWritable(0, 512, 0, 0)),
        EMPTY_INSIDE_THE_HEADER(r -> r.cutReadable(8, 0, 8)),
        SKEWED(r -> r.skewed(7).cutReadable(5, 600).cutWritable(13)),
        INDIRECT(GuestRequest::indirect),
        INDIRECT_ODD(r -> r.indirect().cutReadable(3, 50, 0, 1, 700).cutWritable(1, 0, 333, 7)),
        DESCRIPTORS_515(r -> r.cutReadable(pieces(513, 3)).cutWritable(pieces(513, 3))),
        DESCRIPTORS_1000(r -> r.cutReadable(pieces(998, 17)).cutWritable(pieces(998, 17))),
        DESCRIPTORS_515_INDIRECT(r -> r.indirect().cutReadable(pieces(513, 3)).cutWritable(pieces(513, 3))),
        DESCRIPTORS_1000_INDIRECT(r -> r.indirect().cutReadable(pieces(998, 17)).cutWritable(pieces(998, 17)));

        @SuppressWarnings("ImmutableEnumChecker") // lambdas without state
        private final UnaryOperator<GuestRequest> cut;

        Layout(UnaryOperator<GuestRequest> cut) {
            this.cut = cut;
        }

        private static int[] pieces(int count, int bytes) {
            int[] lengths = new int[count];
            Arrays.fill(lengths, bytes);
            return lengths;
        }
    }

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(2 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestQueue queue;

    @BeforeEach
    void start() throws IOException {
        emulator = new EmulatorUnderTest.Setup(directory).driver(disk).start();
        guest = Guest.connect(emulator, rings);
        queue = guest.queue(0, 1024).start();
    }

    @AfterEach
    void stop() {
        guest.close();
        emulator.close();
    }

    @ParameterizedTest
    @EnumSource
    void shouldWriteAndReadBack(Layout layout) {
        byte[] data = new byte[BYTES];
        new Random(1).nextBytes(data);
        GuestRequest write = queue.run(layout.cut.apply(write(5, data)));
        assertThat(write.status()).isEqualTo(OK);
        assertThat(write.usedBytes()).isEqualTo(1);
        assertThat(Arrays.copyOfRange(disk.content(), 5 * 512, 5 * 512 + BYTES)).isEqualTo(data);
        GuestRequest read = queue.run(layout.cut.apply(read(5, BYTES)));
        assertThat(read.status()).isEqualTo(OK);
        assertThat(read.usedBytes()).isEqualTo(BYTES + 1);
        assertThat(read.answer()).isEqualTo(data);
    }

    @ParameterizedTest
    @EnumSource
    void shouldFlushAndAnswerTheId(Layout layout) {
        GuestRequest flush = queue.run(layout.cut.apply(of(FLUSH, 0)));
        assertThat(flush.status()).isEqualTo(OK);
        assertThat(flush.usedBytes()).isEqualTo(1);
        GuestRequest id = queue.run(layout.cut.apply(of(GET_ID, 0).room(20)));
        assertThat(id.answer()).isEqualTo(Arrays.copyOf("serial-0".getBytes(UTF_8), 20));
        assertThat(id.usedBytes()).isEqualTo(21);
    }

    @ParameterizedTest
    @EnumSource
    void shouldReadRangesHoweverTheyAreCut(Layout layout) throws InterruptedException {
        GuestRequest request = ranges(WRITE_ZEROES, 1, 2, 0, 30, 4, 1, 50, 0x100, 0);
        GuestRequest zeroes = queue.run(layout.cut.apply(request));
        assertThat(zeroes.status()).isEqualTo(OK);
        ScriptedDisk.Call first = disk.nextCall();
        assertThat(first.offsetBytes()).isEqualTo(512);
        assertThat(first.lengthBytes()).isEqualTo(1024);
        assertThat(first.mayUnmap()).isFalse();
        ScriptedDisk.Call second = disk.nextCall();
        assertThat(second.offsetBytes()).isEqualTo(30 * 512);
        assertThat(second.lengthBytes()).isEqualTo(4 * 512);
        assertThat(second.mayUnmap()).isTrue();
        ScriptedDisk.Call third = disk.nextCall();
        assertThat(third.offsetBytes()).isEqualTo(50 * 512);
        assertThat(third.lengthBytes()).isEqualTo(0x100 * 512);
    }

    @Test
    void shouldPutTheStatusBehindDataOfAnyLength() {
        for (int bytes : new int[] {0, 1, 20, 511}) {
            GuestRequest request = queue.run(read(0, bytes).cutWritable());
            assertThat(request.status()).isEqualTo(bytes == 0 ? OK : IOERR);
            assertThat(request.usedBytes()).isEqualTo(bytes == 0 ? 1 : 0);
            assertThat(request.answer()).hasSize(bytes);
            for (byte octet : request.answer()) {
                assertThat(octet).isEqualTo(UNTOUCHED);
            }
        }
    }

    @Test
    void shouldTakeABufferThatIsOnlyTheStatus() {
        GuestRequest request = queue.run(of(FLUSH, 0).cutReadable().cutWritable(0, 0));
        assertThat(request.status()).isEqualTo(OK);
        assertThat(request.usedBytes()).isEqualTo(1);
    }
}
