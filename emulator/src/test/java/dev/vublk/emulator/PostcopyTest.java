// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.protocol.FrontendRequest;
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

/** Guests whose memory comes after them (vhost-user, VHOST_USER_PROTOCOL_F_PAGEFAULT). */
@SuppressWarnings("NullAway.Init") // The fields are set by start, which each test begins with.
final class PostcopyTest {
    private static final int USED_BYTES = 4 << 20;
    private static final int DATA_BYTES = 40 * LateMemory.PAGE + 512;

    @TempDir
    private Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(1 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;
    private LateMemory late;

    @BeforeEach
    void needsUserFaults() {
        assumeTrue(UserFault.isAvailable(), "the kernel does not permit userfaultfd here");
    }

    private void start(RingKind rings) throws IOException {
        emulator =
                new EmulatorUnderTest.Setup(directory).driver(disk).clients(2).start();
        late = new LateMemory();
        guest = Guest.arrive(emulator, rings, late);
    }

    @AfterEach
    void tearDown() throws IOException {
        disk.release();
        guest.close();
        late.close();
        emulator.close();
    }

    private static byte[] pattern(int bytes, int seed) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    /** Gives the memory, empty, and the ring; what was put into it before is to be found by whoever waits for it. */
    private void arrive(GuestQueue queue) throws IOException {
        queue.publish();
        late.takeAway(guest.memory(), USED_BYTES);
        late.give(guest);
        late.acknowledge(guest, FrontendRequest.SET_MEM_TABLE);
        start(queue);
    }

    private static void start(GuestQueue queue) throws IOException {
        queue.start(0, queue.kickFd(), queue.callFd());
        EventFd.drain(queue.callFd()); // Signalled when it was given.
        queue.kick();
    }

    /** The same, while the page of one address does not come. Returns when somebody waits for it. */
    private void arriveWithout(long address, GuestQueue queue) throws Exception {
        late.withhold(guest.memory(), address);
        arrive(queue);
        late.awaitWithheldWanted();
    }

    private static void awaitSuccess(GuestQueue queue, GuestRequest request) {
        awaitOne(queue);
        queue.awaitAll();
        assertThat(request.status()).isEqualTo(GuestRequest.OK);
    }

    private static void awaitOne(GuestQueue queue) {
        GuestQueue.awaitSignal(queue.callFd(), "interrupt"); // By then the ring is here.
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldCarryOutRequestsWhoseMemoryComesLate(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, 128);
        byte[] data = pattern(DATA_BYTES, 1);
        GuestRequest write = queue.add(GuestRequest.write(8, data).skewed(24));
        GuestRequest read = queue.add(GuestRequest.read(0, 4096).skewed(72));
        arrive(queue);
        awaitSuccess(queue, write);
        assertThat(read.status()).isEqualTo(GuestRequest.OK);
        assertThat(Arrays.copyOfRange(disk.content(), 4096, 4096 + DATA_BYTES)).isEqualTo(data);
        assertThat(read.answer()).isEqualTo(Arrays.copyOf(disk.content(), 4096));
        assertThat(late.broughtCount()).isGreaterThanOrEqualTo(40);
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldReadIndirectTablesThatComeLate(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, 128);
        int[] cuts = new int[401];
        Arrays.fill(cuts, 512);
        cuts[0] = GuestRequest.HEADER_BYTES;
        byte[] data = pattern(512 * 400, 7);
        GuestRequest write =
                queue.add(GuestRequest.write(0, data).cutReadable(cuts).indirect());
        arrive(queue);
        awaitSuccess(queue, write);
        assertThat(Arrays.copyOf(disk.content(), data.length)).isEqualTo(data);
    }

    @Test
    void shouldTakeMemoryThatIsAddedRegionByRegion() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        GuestRequest write = queue.add(GuestRequest.write(0, pattern(4096, 3)));
        queue.publish();
        late.takeAway(guest.memory(), USED_BYTES);
        late.add(guest);
        late.acknowledge(guest, FrontendRequest.ADD_MEM_REG);
        start(queue);
        awaitSuccess(queue, write);
    }

    /** A fault that nobody reads yet would be lost for whoever waits. */
    @Test
    void shouldTouchNothingBeforeTheFrontEndIsReady() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        queue.add(GuestRequest.write(0, pattern(4096, 3)));
        queue.publish();
        late.takeAway(guest.memory(), USED_BYTES);
        late.give(guest);
        start(queue);
        assertThat(guest.frontend().getQueueNum()).isPositive(); // All messages before have been taken.
        assertThat(residentPages()).isZero();
        late.acknowledge(guest, FrontendRequest.SET_MEM_TABLE);
        awaitOne(queue);
        assertThat(queue.take().status()).isEqualTo(GuestRequest.OK);
    }

    /** As stat(1) counts them, from outside. */
    private int residentPages() throws IOException, InterruptedException {
        Process stat = new ProcessBuilder(
                        "stat",
                        "-L",
                        "-c",
                        "%b",
                        "/proc/" + ProcessHandle.current().pid() + "/fd/"
                                + guest.memory().fd())
                .start();
        String blocks = new String(stat.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.US_ASCII);
        assertThat(stat.waitFor()).isZero();
        return Integer.parseInt(blocks.strip()) * 512 / LateMemory.PAGE;
    }

    /** A page that never comes stops its queue, and nobody else: neither the loop nor a garbage collection. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldServeOthersWhileAPageDoesNotCome(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, 128);
        GuestRequest write = queue.add(GuestRequest.write(0, pattern(2 * LateMemory.PAGE, 4)));
        GuestQueue second = guest.queue(1, 128);
        GuestRequest other = second.add(GuestRequest.write(64, pattern(512, 5)));
        second.publish();
        arriveWithout(write.bufferAddresses()[1] + LateMemory.PAGE, queue);
        System.gc();
        start(second);
        awaitSuccess(second, other);
        try (Guest neighbour = Guest.connect(emulator, rings)) {
            assertThat(neighbour.queue().run(GuestRequest.read(0, 512)).status())
                    .isEqualTo(GuestRequest.OK);
        }
        late.release();
        awaitSuccess(queue, write);
    }

    @Test
    void shouldStopARingThatWaitsForAPage() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        GuestRequest write = queue.add(GuestRequest.write(0, pattern(4096, 4)));
        arriveWithout(write.bufferAddresses()[1], queue);
        assertThat(queue.stop()).isZero(); // Nothing has been taken.
        late.release();
        start(queue);
        awaitSuccess(queue, write);
    }

    /** What has not come must stay a hole: an empty page in its place would be there when the right one comes. */
    @Test
    void shouldLeaveHolesWhenTheFrontEndGoes() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        GuestRequest write = queue.add(GuestRequest.write(0, pattern(4096, 4)));
        arriveWithout(write.bufferAddresses()[1], queue);
        guest.frontend().close();
        try (Guest neighbour = Guest.connect(emulator, RingKind.SPLIT);
                Guest next = Guest.connect(emulator, RingKind.SPLIT)) { // Not served before the first has ended.
            assertThat(next.queue().run(GuestRequest.read(0, 512)).status()).isEqualTo(GuestRequest.OK);
            assertThat(neighbour.queue().run(GuestRequest.read(0, 512)).status())
                    .isEqualTo(GuestRequest.OK);
        }
        assertThat(residentPages()).isEqualTo(late.broughtCount());
        assertThat(disk.content()).containsOnly(0);
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldGoOnAfterTheEnd(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, 128);
        queue.add(GuestRequest.write(0, pattern(4096, 4)));
        arrive(queue);
        awaitOne(queue);
        queue.awaitAll();
        late.bringAll();
        assertThat(guest.frontend().postcopyEnd()).isTrue();
        for (int i = 0; i < 200; i++) {
            byte[] data = pattern(512, i);
            assertThat(queue.run(GuestRequest.write(i, data)).status()).isEqualTo(GuestRequest.OK);
        }
        assertThat(guest.frontend().postcopyEnd()).isFalse();
    }

    /** The last page and the end may come together: who has waited for the page has it, and goes on using it. */
    @Test
    void shouldKeepAPageThatIsWaitedForAtTheEnd() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        byte[] data = pattern(4096, 4);
        GuestRequest write = queue.add(GuestRequest.write(0, data));
        arriveWithout(write.bufferAddresses()[1], queue);
        late.stopServing();
        late.bringAllUnheard();
        assertThat(guest.frontend().postcopyEnd()).isTrue();
        awaitSuccess(queue, write);
        assertThat(Arrays.copyOf(disk.content(), 4096)).isEqualTo(data);
    }

    @Test
    void shouldRefuseToListenWithoutAdviceOrWithMemory() throws Exception {
        start(RingKind.SPLIT);
        try (Guest neighbour = Guest.connectWithAll(emulator)) {
            assertThat(neighbour.frontend().postcopyListen()).isFalse();
            int fd = neighbour.frontend().postcopyAdvise();
            assertThat(fd).isNotNegative();
            EventFd.close(fd);
            assertThat(neighbour.frontend().postcopyListen()).isFalse(); // It has its memory.
            assertThat(neighbour.queue().run(GuestRequest.read(0, 512)).status())
                    .isEqualTo(GuestRequest.OK);
        }
    }
}
