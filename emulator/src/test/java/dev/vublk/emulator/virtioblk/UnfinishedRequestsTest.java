// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.MortalBackend;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.StallingDisk;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * GET_VRING_BASE_INFLIGHT: a queue that is stopped while its disk stalls leaves what it has not begun in the in-flight region, and
 * the next back end does it.
 */
final class UnfinishedRequestsTest {
    private static final int RING_SIZE = 128;
    private static final int CELLS = 24;
    private static final int CELL_BYTES = 4096;
    private static final int BEGUN = MortalBackend.WORKERS_MAX;

    @TempDir
    Path directory;

    private final List<GuestRequest> requests = new ArrayList<>();

    private static byte[] cell(int index) {
        byte[] data = new byte[CELL_BYTES];
        Arrays.fill(data, (byte) (index + 1));
        return data;
    }

    /** Every third request is a read: of a cell that nobody writes. */
    private static boolean isRead(int index) {
        return index % 3 == 2;
    }

    private void submitAll(GuestQueue queue) {
        for (int i = 0; i < CELLS; i++) {
            long sector = i * (long) CELL_BYTES / 512;
            requests.add(queue.add(isRead(i) ? read(sector, CELL_BYTES) : write(sector, cell(i))));
        }
        queue.publishAndKick();
    }

    private static StallingDisk stallingDisk(boolean writeback, boolean failsAlone) {
        StallingDisk disk = new StallingDisk(1 << 20, writeback, failsAlone);
        for (int i = 0; i < CELLS; i++) {
            if (isRead(i)) {
                System.arraycopy(cell(i), 0, disk.content(), i * CELL_BYTES, CELL_BYTES);
            }
        }
        disk.stall();
        return disk;
    }

    private void checkAll(StallingDisk disk) {
        for (int i = 0; i < CELLS; i++) {
            assertThat(requests.get(i).status()).as("request %d", i).isEqualTo(OK);
            if (isRead(i)) {
                assertThat(requests.get(i).answer()).isEqualTo(cell(i));
            }
            assertThat(Arrays.copyOfRange(disk.content(), i * CELL_BYTES, (i + 1) * CELL_BYTES))
                    .isEqualTo(cell(i));
        }
    }

    private static List<Long> offsets(int first, int end) {
        return LongStream.range(first, end).mapToObj(i -> i * CELL_BYTES).toList();
    }

    /** Returns the base; what has been returned until then has been taken from the ring. */
    private int stopWhileItStalls(MortalBackend backend, GuestQueue queue, StallingDisk disk) throws Exception {
        submitAll(queue);
        disk.awaitBegun(BEGUN);
        backend.duringStop(disk::goOn);
        int base = queue.stop();
        for (GuestRequest done = queue.poll(); done != null; done = queue.poll()) {
            assertThat(done.status()).isEqualTo(OK);
        }
        return base;
    }

    private static void assertNothingBegunIsLeft(GuestQueue queue, StallingDisk disk) {
        assertThat(queue.inFlightCount()).isEqualTo(CELLS - BEGUN);
        assertThat(disk.begun()).containsExactlyInAnyOrderElementsOf(offsets(0, BEGUN));
    }

    /** Each once, and the right ones. */
    private void finish(GuestQueue queue, StallingDisk disk) {
        queue.awaitAll();
        assertThat(disk.begun()).containsExactlyInAnyOrderElementsOf(offsets(0, CELLS));
        checkAll(disk);
    }

    @ParameterizedTest
    @EnumSource
    void shouldLeaveWhatTheDiskHasNotBegunToTheNextBackEnd(RingKind rings) throws Exception {
        StallingDisk disk = stallingDisk(true, true);
        Guest guest;
        GuestQueue queue;
        try (MortalBackend first = new MortalBackend(directory, disk)) {
            guest = Guest.connect(first.socketPath(), rings.unwantedFeatures).trackInflight(1, RING_SIZE);
            queue = guest.queue(0, RING_SIZE).start();
            stopWhileItStalls(first, queue, disk);
            assertNothingBegunIsLeft(queue, disk);
            guest.frontend().close();
        }
        try (MortalBackend second = new MortalBackend(directory, disk);
                guest) {
            assertThat(second.socketPath()).isNotEmpty();
            guest.reconnect();
            queue.restart();
            finish(queue, disk);
            assertThat(queue.stop()).isEqualTo(queue.ring().base());
        }
    }

    /** A migration that fails at the last moment: the rings of the same session are started again. */
    @ParameterizedTest
    @EnumSource
    void shouldDoWhatWasLeftWhenTheRingIsStartedAgain(RingKind rings) throws Exception {
        StallingDisk disk = stallingDisk(true, true);
        try (MortalBackend backend = new MortalBackend(directory, disk);
                Guest guest = Guest.connect(backend.socketPath(), rings.unwantedFeatures)) {
            guest.trackInflight(1, RING_SIZE);
            GuestQueue queue = guest.queue(0, RING_SIZE).start();
            int base = stopWhileItStalls(backend, queue, disk);
            assertNothingBegunIsLeft(queue, disk);
            queue.start(base, queue.kickFd(), queue.callFd());
            finish(queue, disk);
        }
    }

    private void assertDrained(RingKind rings, StallingDisk disk, boolean tracked) throws Exception {
        try (MortalBackend backend = new MortalBackend(directory, disk);
                Guest guest = Guest.connect(backend.socketPath(), rings.unwantedFeatures)) {
            if (tracked) {
                guest.trackInflight(1, RING_SIZE);
            }
            GuestQueue queue = guest.queue(0, RING_SIZE).start();
            assertThat(stopWhileItStalls(backend, queue, disk))
                    .isEqualTo(queue.ring().base());
            assertThat(queue.inFlightCount()).isZero();
            checkAll(disk);
        }
    }

    @ParameterizedTest
    @EnumSource
    void shouldDrainWhereNoRegionKeepsWhatIsLeft(RingKind rings) throws Exception {
        assertDrained(rings, stallingDisk(true, true), false);
    }

    @ParameterizedTest
    @EnumSource
    void shouldDrainADiskWhoseCallsShareMoreThanTheirRanges(RingKind rings) throws Exception {
        assertDrained(rings, stallingDisk(true, false), true);
    }

    /** Reads that have not begun are left all the same. */
    @ParameterizedTest
    @EnumSource
    void shouldFinishWritesThatMustBeStable(RingKind rings) throws Exception {
        StallingDisk disk = stallingDisk(false, true);
        try (MortalBackend backend = new MortalBackend(directory, disk);
                Guest guest = Guest.connect(backend.socketPath(), rings.unwantedFeatures)) {
            guest.trackInflight(1, RING_SIZE);
            GuestQueue queue = guest.queue(0, RING_SIZE).start();
            int base = stopWhileItStalls(backend, queue, disk);
            int readsLeft = (int) IntStream.range(BEGUN, CELLS)
                    .filter(UnfinishedRequestsTest::isRead)
                    .count();
            assertThat(queue.inFlightCount()).isEqualTo(readsLeft);
            queue.start(base, queue.kickFd(), queue.callFd());
            queue.awaitAll();
            checkAll(disk);
        }
    }
}
