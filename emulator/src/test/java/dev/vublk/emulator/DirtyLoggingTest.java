// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The pages that a disk marks as written, for each kind of request, and when logging begins, moves and ends. */
final class DirtyLoggingTest {
    private static final int PAGE = 4096;

    /** Covers 8 GiB: every address that is used here. */
    private static final LogRegion REGION = new LogRegion(256 << 10, 0);

    /** Where the used ring is said to be: a page that no buffer lies in. */
    private static final long USED_PAGE = 3;

    @TempDir
    private Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(1 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestQueue queue;
    private FrontendLog log;

    @BeforeEach
    void startLogging() throws Exception {
        emulator = new EmulatorUnderTest.Setup(directory).driver(disk).start();
        guest = Guest.connect(emulator);
        guest.setLogAll(false);
        queue = guest.queue();
        assertThat(queue.run(GuestRequest.read(0, 512)).status()).isEqualTo(GuestRequest.OK);
        disk.nextCall();
        log = FrontendLog.create(REGION);
        assertThat(guest.frontend().setLogBase(log.region(), log.fd())).isTrue();
        guest.setLogAll(true);
    }

    @AfterEach
    void tearDown() {
        disk.release();
        guest.close();
        emulator.close();
        log.close();
    }

    /** The pages of some bytes of a request's buffer. */
    private void addPages(Set<Long> pages, GuestRequest request, int buffer, long lengthBytes) {
        long begin = guest.guestAddress(request.bufferAddresses()[buffer]);
        for (long page = begin / PAGE; page <= (begin + lengthBytes - 1) / PAGE; page++) {
            pages.add(page);
        }
    }

    private static int statusBuffer(GuestRequest request) {
        return request.bufferLengths().length - 1;
    }

    private Set<Long> statusPage(GuestRequest request) {
        Set<Long> pages = new TreeSet<>();
        int last = statusBuffer(request);
        long status = guest.guestAddress(request.bufferAddresses()[last]) + request.bufferLengths()[last] - 1;
        pages.add(status / PAGE);
        return pages;
    }

    /** All that the request leaves for the device to write, status included. */
    private Set<Long> writablePages(GuestRequest request) {
        Set<Long> pages = statusPage(request);
        for (int i = request.readableBuffers(); i <= statusBuffer(request); i++) {
            addPages(pages, request, i, request.bufferLengths()[i]);
        }
        return pages;
    }

    @Test
    void shouldMarkWhatAReadHasWritten() {
        GuestRequest read = queue.run(GuestRequest.read(0, 5 * PAGE).skewed(40));
        assertThat(read.status()).isEqualTo(GuestRequest.OK);
        assertThat(writablePages(read)).hasSizeGreaterThan(5);
        assertThat(log.pages()).isEqualTo(writablePages(read));
    }

    @Test
    void shouldMarkEveryBufferOfARead() {
        GuestRequest read = queue.run(GuestRequest.read(0, 8 * PAGE)
                .cutWritable(512, 0, 3 * PAGE, 4 * PAGE)
                .indirect());
        assertThat(read.status()).isEqualTo(GuestRequest.OK);
        assertThat(log.pages()).isEqualTo(writablePages(read));
    }

    /** Part of the data may have been written before the disk failed. */
    @Test
    void shouldMarkWhatAFailedReadMayHaveWritten() {
        disk.result(-5);
        GuestRequest read = queue.run(GuestRequest.read(0, 5 * PAGE));
        assertThat(read.status()).isEqualTo(GuestRequest.IOERR);
        assertThat(log.pages()).isEqualTo(writablePages(read));
    }

    @Test
    void shouldMarkOnlyTheStatusOfAWrite() {
        GuestRequest write = queue.run(GuestRequest.write(0, new byte[5 * PAGE]));
        assertThat(write.status()).isEqualTo(GuestRequest.OK);
        assertThat(log.pages()).isEqualTo(statusPage(write));
    }

    @Test
    void shouldMarkOnlyTheStatusOfAnUnknownRequest() {
        GuestRequest unknown = queue.run(GuestRequest.of(99, 0).room(3 * PAGE));
        assertThat(unknown.status()).isEqualTo(GuestRequest.UNSUPP);
        assertThat(log.pages()).isEqualTo(statusPage(unknown));
    }

    /** The serial number has 20 bytes, however much room there is. */
    @Test
    void shouldMarkTheSerialNumber() {
        GuestRequest id = queue.run(GuestRequest.of(GuestRequest.GET_ID, 0).room(3 * PAGE));
        assertThat(id.status()).isEqualTo(GuestRequest.OK);
        Set<Long> pages = statusPage(id);
        addPages(pages, id, id.readableBuffers(), 20);
        assertThat(log.pages()).isEqualTo(pages);
    }

    @Test
    void shouldMarkTheUsedRing() throws Exception {
        queue.sendAddressesLogged(USED_PAGE * PAGE);
        log.clear();
        GuestRequest flush = queue.run(GuestRequest.of(GuestRequest.FLUSH, 0));
        Set<Long> pages = statusPage(flush);
        pages.add(USED_PAGE);
        assertThat(log.pages()).isEqualTo(pages);
    }

    /** Stopping asks the next back end's driver for kicks, which is a write too; its page is marked before the answer. */
    @Test
    void shouldHaveMarkedEverythingWhenTheRingHasStopped() throws Exception {
        queue.sendAddressesLogged(USED_PAGE * PAGE);
        disk.hold();
        GuestRequest read = queue.submit(GuestRequest.read(0, PAGE));
        disk.nextCall();
        log.clear();
        Thread releaser = Thread.ofPlatform().start(disk::release);
        queue.stop();
        Set<Long> pages = writablePages(read);
        pages.add(USED_PAGE);
        assertThat(log.pages()).isEqualTo(pages);
        log.clear();
        releaser.join();
        queue.start(2, queue.kickFd(), queue.callFd());
        queue.sendAddressesLogged(USED_PAGE * PAGE);
        guest.setLogAll(true);
        log.clear();
        queue.stop();
        assertThat(log.pages()).containsExactly(USED_PAGE);
    }

    @Test
    void shouldMarkBuffersInAnotherRegion() throws Exception {
        try (FrontendMemory more = FrontendMemory.create(0x1_0000_0000L, 1 << 20)) {
            assertThat(guest.frontend().addMemReg(more)).isTrue();
            long header = guest.memory().hostAddress() + guest.memory().sizeBytes() - 64;
            HostMemory.putLong(header, GuestRequest.IN);
            HostMemory.putLong(header + 8, 0);
            queue.ring()
                    .add(
                            new long[] {guest.guestAddress(header), more.guestAddress() + PAGE, more.guestAddress()},
                            new int[] {16, 2 * PAGE, 1},
                            1,
                            2);
            queue.publishAndKick();
            while (!queue.ring().pollUsed()) {
                if (!queue.ring().requestInterrupt()) {
                    GuestQueue.awaitSignal(queue.callFd(), "interrupt");
                }
            }
            assertThat(log.pages()).containsExactly(0x10_0000L, 0x10_0001L, 0x10_0002L);
            assertThat(queue.stop()).isPositive();
            assertThat(guest.frontend().remMemReg(more)).isTrue();
        }
    }

    // ---- begin, move, end

    /** The guest's page may have been copied since the request began: it is the end that is logged. */
    @Test
    void shouldMarkARequestThatWasInFlightWhenLoggingBegan() throws Exception {
        guest.setLogAll(false);
        disk.hold();
        GuestRequest read = queue.submit(GuestRequest.read(0, PAGE));
        disk.nextCall();
        guest.setLogAll(true);
        assertThat(disk.underWay()).as("nothing waits for it").isEqualTo(1);
        disk.release();
        assertThat(queue.awaitOne()).isSameAs(read);
        assertThat(log.pages()).isEqualTo(writablePages(read));
    }

    @Test
    void shouldMarkNothingWhenLoggingHasEnded() throws Exception {
        disk.hold();
        GuestRequest read = queue.submit(GuestRequest.read(0, PAGE));
        disk.nextCall();
        guest.setLogAll(false);
        disk.release();
        assertThat(queue.awaitOne()).isSameAs(read);
        queue.run(GuestRequest.read(0, PAGE));
        assertThat(log.pages()).isEmpty();
    }

    @Test
    void shouldMoveToANewLogWithARequestInFlight() throws Exception {
        disk.hold();
        GuestRequest read = queue.submit(GuestRequest.read(0, PAGE));
        disk.nextCall();
        try (FrontendLog second = FrontendLog.create(new LogRegion(REGION.sizeBytes(), 8192))) {
            assertThat(guest.frontend().setLogBase(second.region(), second.fd()))
                    .isTrue();
            assertThat(disk.underWay()).as("nothing waits for it").isEqualTo(1);
            disk.release();
            assertThat(queue.awaitOne()).isSameAs(read);
            assertThat(second.pages()).isEqualTo(writablePages(read));
            assertThat(log.pages()).isEmpty();
            queue.stop();
        }
    }

    @Test
    void shouldLoseNoRequestWhenLoggingComesAndGoes() throws Exception {
        for (int i = 0; i < 50; i++) {
            GuestRequest read = queue.submit(GuestRequest.read(0, PAGE));
            guest.setLogAll(i % 2 == 0);
            assertThat(queue.awaitOne()).isSameAs(read);
            assertThat(read.status()).isEqualTo(GuestRequest.OK);
        }
    }

    // ---- hostile front ends

    @Test
    void shouldOutliveALogThatIsTooSmall() throws Exception {
        try (FrontendLog tiny = FrontendLog.create(new LogRegion(1, 0))) {
            assertThat(guest.frontend().setLogBase(tiny.region(), tiny.fd())).isTrue();
            assertThat(queue.run(GuestRequest.read(0, PAGE)).status()).isEqualTo(GuestRequest.OK);
            assertThat(tiny.pages()).isEmpty();
            queue.stop();
        }
    }

    /** The queue breaks: a page that cannot be marked would be lost. The process and the next front end go on. */
    @Test
    void shouldOutliveALogThatIsGone() throws Exception {
        try (FrontendLog going = FrontendLog.create(REGION, false)) {
            assertThat(guest.frontend().setLogBase(going.region(), going.fd())).isTrue();
            assertThat(queue.run(GuestRequest.read(0, PAGE)).status()).isEqualTo(GuestRequest.OK);
            assertThat(going.pages()).isNotEmpty();
            assertThat(SharedMapping.resize(going.fd(), 0)).isZero();
            queue.submit(GuestRequest.read(0, PAGE));
            queue.awaitBroken();
            queue.stop();
        }
        guest.close();
        try (Guest next = Guest.connect(emulator)) {
            assertThat(next.queue().run(GuestRequest.read(0, 512)).status()).isEqualTo(GuestRequest.OK);
        }
        guest = Guest.connect(emulator);
    }
}
