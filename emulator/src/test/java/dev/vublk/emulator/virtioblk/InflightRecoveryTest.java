// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.MortalBackend;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.virtqueue.InflightPoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** A front end whose back end dies with requests in flight, and comes back: the guest sees a pause, and nothing else. */
final class InflightRecoveryTest {
    private static final int ROUNDS = 15;
    private static final int RING_SIZE = 128;
    private static final int CELLS = 24;
    private static final int CELL_BYTES = 4096;

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(4 << 20);
    private final byte[] expected = new byte[CELLS];
    private MortalBackend backend;
    private Guest guest;

    private void start(RingKind rings) throws Exception {
        guest.close();
        guest = Guest.connect(backend.socketPath(), rings.unwantedFeatures).trackInflight(2, RING_SIZE);
    }

    @BeforeEach
    void start() throws Exception {
        backend = new MortalBackend(directory, disk);
        guest = Guest.connect(backend.socketPath(), RingKind.SPLIT.unwantedFeatures);
    }

    @AfterEach
    void stop() {
        backend.dieAt(null, 0);
        disk.release();
        guest.close();
        backend.close();
    }

    private static boolean isInRecovery(InflightPoint point) {
        return point.name().startsWith("RECOVERY");
    }

    /** Each cell gets a new content; a write that was done and is done again later would bring an old one back. */
    private void submitWrites(GuestQueue queue, Random random) {
        for (int cell = 0; cell < CELLS; cell++) {
            expected[cell] = (byte) (expected[cell] + 1 + random.nextInt(100));
            byte[] data = new byte[CELL_BYTES];
            Arrays.fill(data, expected[cell]);
            queue.add(write(cell * (long) CELL_BYTES / 512, data));
            if (random.nextInt(4) == 0) {
                queue.publishAndKick();
            }
        }
        queue.publishAndKick();
    }

    /** Returns how many died: those that did so after the driver had been told are missed only now. */
    private int checkContent(GuestQueue queue) throws Exception {
        GuestRequest read = queue.submit(read(0, CELLS * CELL_BYTES));
        int deaths = finish(queue, InflightPoint.PUBLISHED);
        assertThat(read.status()).isEqualTo(OK);
        byte[] wanted = new byte[CELLS * CELL_BYTES];
        for (int cell = 0; cell < CELLS; cell++) {
            Arrays.fill(wanted, cell * CELL_BYTES, (cell + 1) * CELL_BYTES, expected[cell]);
        }
        assertThat(read.answer()).isEqualTo(wanted);
        return deaths;
    }

    static Stream<Arguments> pointsOfBothKinds() {
        return Stream.of(InflightPoint.values())
                .filter(point -> point != InflightPoint.BLOCK_PREPARED)
                .flatMap(point -> Stream.of(RingKind.values())
                        .filter(rings -> rings == RingKind.PACKED || !point.isPackedOnly())
                        .map(rings -> Arguments.of(rings, point)));
    }

    /** A death that leaves what a recovery needs to come to {@code point}. */
    private static InflightPoint deathBefore(InflightPoint point) {
        if (point == InflightPoint.RECOVERY_SLOT_CLEANED) {
            return InflightPoint.BATCH_LINKED;
        }
        return isInRecovery(point) ? InflightPoint.PUBLISHED : point;
    }

    @ParameterizedTest
    @MethodSource("pointsOfBothKinds")
    void shouldLoseAndDoubleNothingWhereverItDies(RingKind rings, InflightPoint point) throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("InflightRecoveryTest " + rings + " " + point + " seed " + seed);
        Random random = new Random(seed);
        start(rings);
        GuestQueue queue = guest.queue(0, RING_SIZE).start();
        int deaths = 0;
        for (int round = 0; round < ROUNDS; round++) {
            backend.dieAt(deathBefore(point), 1 + random.nextInt(3));
            boolean inOneBatch = random.nextBoolean();
            if (inOneBatch) {
                disk.hold();
            }
            submitWrites(queue, random);
            if (inOneBatch) {
                disk.release();
            }
            deaths += finish(queue, point);
            backend.dieAt(null, 0);
            deaths += checkContent(queue);
        }
        assertThat(deaths).isGreaterThan(0);
        assertThat(queue.stop()).isEqualTo(queue.ring().base());
        assertThat(queue.ring().returnedCount()).isEqualTo(ROUNDS * (CELLS + 1));
    }

    /** Waits until all is done, by a successor if need be. Returns how many died. */
    private int finish(GuestQueue queue, InflightPoint point) throws Exception {
        int deaths = 0;
        while (!queue.awaitAllOrBroken()) {
            deaths++;
            backend.dieAt(isInRecovery(point) ? point : null, 1);
            guest.reconnect();
            // The last batch needs no recovery when nothing else is in flight.
            if (isInRecovery(point) && queue.inFlightCount() > 0 && !restarts(queue)) {
                guest.reconnect();
            }
            backend.dieAt(null, 0);
            queue.restart();
        }
        return deaths;
    }

    private static boolean restarts(GuestQueue queue) throws Exception {
        try {
            queue.restart();
            return true;
        } catch (IOException e) {
            return false; // It died at the start.
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldBeginAfreshWhereItDiedBeforeTheFirstRequest(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, RING_SIZE);
        backend.dieAt(InflightPoint.BLOCK_PREPARED, 1);
        assertThatThrownBy(queue::start).isInstanceOf(IOException.class);
        backend.dieAt(null, 0);
        guest.reconnect();
        queue.start();
        submitWrites(queue, new Random(1));
        queue.awaitAll();
        checkContent(queue);
    }

    private GuestQueue dieWithAllInFlight() throws Exception {
        GuestQueue queue = guest.queue(0, RING_SIZE).start();
        disk.hold();
        submitWrites(queue, new Random(1));
        for (int i = 0; i < CELLS; i++) {
            disk.nextCall();
        }
        backend.dieAt(InflightPoint.DONE, 1);
        disk.release();
        assertThat(queue.awaitAllOrBroken()).isFalse();
        assertThat(queue.inFlightCount()).isEqualTo(CELLS);
        backend.dieAt(null, 0);
        return queue;
    }

    /** No kick comes for what was in the ring already. */
    @ParameterizedTest
    @EnumSource
    void shouldRunWhatIsInFlightInOrderAndWithoutAKick(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = dieWithAllInFlight();
        guest.reconnect();
        queue.restart();
        for (int i = 0; i < CELLS; i++) {
            assertThat(disk.nextCall().offsetBytes()).isEqualTo((long) i * CELL_BYTES);
        }
        queue.awaitAll();
        checkContent(queue);
    }

    @ParameterizedTest
    @EnumSource
    void shouldDrainWhatAPredecessorLeftBeforeItAnswersTheBase(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = dieWithAllInFlight();
        guest.reconnect();
        disk.hold();
        queue.restart();
        disk.nextCall();
        Thread release = Thread.ofPlatform().unstarted(disk::release);
        release.start();
        int base = queue.stop();
        release.join();
        for (int i = 0; i < CELLS; i++) {
            assertThat(queue.take().status()).isEqualTo(OK);
        }
        assertThat(base).isEqualTo(queue.ring().base());
        assertThat(queue.ring().returnedCount()).isEqualTo(CELLS);
        queue.restart();
        checkContent(queue);
    }

    @ParameterizedTest
    @EnumSource
    void shouldRecoverEachQueueByItself(RingKind rings) throws Exception {
        start(rings);
        GuestQueue other = guest.queue(1, RING_SIZE).start();
        GuestQueue queue = dieWithAllInFlight();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        guest.reconnect();
        queue.restart();
        other.restart();
        queue.awaitAll();
        checkContent(other);
    }

    /** QEMU keeps a region while its guest pauses; this one's driver sets its queue up anew on it. */
    @ParameterizedTest
    @EnumSource
    void shouldGoOnWhereADriverBeginsAnewOnADrainedRegion(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, RING_SIZE).start();
        submitWrites(queue, new Random(1));
        queue.awaitAll();
        queue.stop();
        queue.ring().reset();
        queue.start();
        submitWrites(queue, new Random(2));
        queue.awaitAll();
        checkContent(queue);
    }

    /** Nothing is in flight, and the front end does not know how far the ring has come. */
    @ParameterizedTest
    @EnumSource
    void shouldKnowWhereTheRingStandsAfterAnIdleDeath(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, RING_SIZE).start();
        Random random = new Random(1);
        for (int round = 0; round < 7; round++) { // More than once round the ring.
            submitWrites(queue, random);
            queue.awaitAll();
            guest.reconnect();
            queue.restart();
        }
        checkContent(queue);
    }
}
