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
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A front end whose back end dies with requests in flight, and comes back: the guest sees a pause, and nothing else. */
final class InflightRecoveryTest {
    private static final int ROUNDS = 25;
    private static final int RING_SIZE = 128;
    private static final int CELLS = 24;
    private static final int CELL_BYTES = 4096;

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(4 << 20);
    private final byte[] expected = new byte[CELLS];
    private MortalBackend backend;
    private Guest guest;

    @BeforeEach
    void start() throws Exception {
        backend = new MortalBackend(directory, disk);
        guest = Guest.connect(backend.socketPath(), RingKind.SPLIT.unwantedFeatures)
                .trackInflight(2, RING_SIZE);
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

    @ParameterizedTest
    @EnumSource(value = InflightPoint.class, mode = EnumSource.Mode.EXCLUDE, names = "BLOCK_PREPARED")
    void shouldLoseAndDoubleNothingWhereverItDies(InflightPoint point) throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("InflightRecoveryTest " + point + " seed " + seed);
        Random random = new Random(seed);
        GuestQueue queue = guest.queue(0, RING_SIZE).start();
        int deaths = 0;
        for (int round = 0; round < ROUNDS; round++) {
            backend.dieAt(isInRecovery(point) ? InflightPoint.PUBLISHED : point, 1 + random.nextInt(3));
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
        assertThat(queue.stop()).isEqualTo(ROUNDS * (CELLS + 1));
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

    @Test
    void shouldBeginAfreshWhereItDiedBeforeTheFirstRequest() throws Exception {
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
    @Test
    void shouldRunWhatIsInFlightInOrderAndWithoutAKick() throws Exception {
        GuestQueue queue = dieWithAllInFlight();
        guest.reconnect();
        queue.restart();
        for (int i = 0; i < CELLS; i++) {
            assertThat(disk.nextCall().offsetBytes()).isEqualTo((long) i * CELL_BYTES);
        }
        queue.awaitAll();
        checkContent(queue);
    }

    @Test
    void shouldDrainWhatAPredecessorLeftBeforeItAnswersTheBase() throws Exception {
        GuestQueue queue = dieWithAllInFlight();
        guest.reconnect();
        disk.hold();
        queue.restart();
        disk.nextCall();
        Thread release = Thread.ofPlatform().unstarted(disk::release);
        release.start();
        assertThat(queue.stop()).isEqualTo(CELLS);
        release.join();
        for (int i = 0; i < CELLS; i++) {
            assertThat(queue.take().status()).isEqualTo(OK);
        }
        assertThat(queue.ring().returnedCount()).isEqualTo(CELLS);
        queue.restart();
        checkContent(queue);
    }

    @Test
    void shouldRecoverEachQueueByItself() throws Exception {
        GuestQueue other = guest.queue(1, RING_SIZE).start();
        GuestQueue queue = dieWithAllInFlight();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        guest.reconnect();
        queue.restart();
        other.restart();
        queue.awaitAll();
        checkContent(other);
    }
}
