// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static dev.vublk.emulator.GuestIommu.PAGE;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.virtqueue.VirtqueueLayout;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Disks behind the guest's IOMMU (VIRTIO_F_ACCESS_PLATFORM; vhost-user, "IOMMU support"). */
@SuppressWarnings("NullAway.Init") // The fields are set by start, which each test begins with.
final class IommuTest {
    private static final int DATA_BYTES = 5 * PAGE;

    @TempDir
    private Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(1 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestIommu iommu;

    private void start(RingKind rings) throws IOException {
        start(rings, 1);
    }

    private void start(RingKind rings, int ioThreads) throws IOException {
        emulator = new EmulatorUnderTest.Setup(directory)
                .driver(disk)
                .ioThreads(ioThreads)
                .session(SessionOptions.DEFAULT.with(OptionalFeature.ACCESS_PLATFORM))
                .start();
        guest = Guest.connect(emulator, rings);
        guest.setLogAll(false);
        iommu = new GuestIommu(guest);
    }

    @AfterEach
    void tearDown() {
        disk.release();
        guest.close();
        iommu.close();
        emulator.close();
    }

    private GuestQueue queue() throws IOException {
        return guest.queue(0, 128).start();
    }

    private static byte[] pattern(int bytes, int seed) {
        byte[] data = new byte[bytes];
        new Random(seed).nextBytes(data);
        return data;
    }

    private void assertServed(GuestQueue queue, int seed) throws IOException {
        byte[] data = pattern(DATA_BYTES, seed);
        GuestRequest write = GuestRequest.write(8L * seed, data).skewed(24);
        assertThat(iommu.run(queue, write).status()).isEqualTo(GuestRequest.OK);
        GuestRequest read = GuestRequest.read(8L * seed, DATA_BYTES).skewed(40);
        assertThat(iommu.run(queue, read).status()).isEqualTo(GuestRequest.OK);
        assertThat(read.answer()).isEqualTo(data);
        assertThat(Arrays.copyOfRange(disk.content(), 4096 * seed, 4096 * seed + DATA_BYTES))
                .isEqualTo(data);
    }

    // ---- rings and requests

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldServeRequestsWhoseEveryPageLiesElsewhere(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        for (int i = 0; i < 8; i++) {
            assertServed(queue, i);
        }
        assertThat(iommu.missCount()).isPositive();
        assertThat(iommu.refusedCount()).isZero();
    }

    /** Descriptors, driver area and device area of such a ring take many pages. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldRunRingsOfScatteredPages(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = guest.queue(0, 1024).start();
        for (int i = 0; i < 3000; i++) {
            assertThat(iommu.run(queue, GuestRequest.read(i % 100, 512)).status())
                    .isEqualTo(GuestRequest.OK);
        }
    }

    /** A table of 400 entries reaches over at least one border of pages. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldReadIndirectTablesOfScatteredPages(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        int[] cuts = new int[400];
        Arrays.fill(cuts, 512);
        byte[] data = pattern(512 * 400, 7);
        GuestRequest write =
                GuestRequest.write(0, data).cutReadable(cutBehindHeader(cuts)).indirect();
        assertThat(iommu.run(queue, write).status()).isEqualTo(GuestRequest.OK);
        assertThat(Arrays.copyOf(disk.content(), data.length)).isEqualTo(data);
    }

    private static int[] cutBehindHeader(int... cuts) {
        int[] all = new int[cuts.length + 1];
        all[0] = GuestRequest.HEADER_BYTES;
        System.arraycopy(cuts, 0, all, 1, cuts.length);
        return all;
    }

    @Test
    void shouldServeSeveralQueuesOnSeveralThreads() throws Exception {
        start(RingKind.SPLIT, 2);
        GuestQueue[] queues = new GuestQueue[4];
        for (int i = 0; i < queues.length; i++) {
            queues[i] = guest.queue(i, 16).start();
        }
        for (int round = 0; round < 5; round++) {
            for (GuestQueue queue : queues) {
                assertServed(queue, round);
            }
            iommu.invalidateAll();
        }
    }

    @Test
    void shouldAskOnlyForWhatItDoesNotKnow() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        int known = iommu.missCount();
        assertServed(queue, 1); // In the same places.
        assertThat(iommu.missCount()).isEqualTo(known);
    }

    @Test
    void shouldAskForAWholeRequestAtOnce() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        iommu.run(queue, GuestRequest.read(0, 512));
        queue.submit(GuestRequest.read(0, 20 * PAGE));
        // Nothing is answered before the last has been asked for.
        GuestRequest later = queue.submit(GuestRequest.read(0, 512));
        assertThat(iommu.await(queue, later).status()).isEqualTo(GuestRequest.OK);
        assertThat(iommu.missCount()).isGreaterThan(20);
    }

    @Test
    void shouldServeAFrontEndThatTellsUnasked() throws Exception {
        start(RingKind.SPLIT);
        for (long at = 0; at < GuestIommu.VIEW_BYTES; at += PAGE) {
            assertThat(iommu.update(iommu.viewAddress() + at)).isTrue();
        }
        assertServed(queue(), 3);
        assertThat(iommu.missCount()).isZero();
    }

    // ---- what the IOMMU refuses

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldAnswerWithAnErrorWhereDataMayNotBeWritten(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        GuestRequest read = queue.add(GuestRequest.read(0, 4 * PAGE));
        long data = read.bufferAddresses()[1];
        iommu.permit(data + PAGE, 2 * PAGE, IotlbMessage.RO);
        queue.publishAndKick();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.IOERR);
        assertThat(read.usedBytes()).isLessThanOrEqualTo(1);
        assertThat(disk.callsNotAskedFor()).isZero();
        assertThat(iommu.refusedCount()).isPositive();
        iommu.permit(data + PAGE, 2 * PAGE, IotlbMessage.RW);
        assertServed(queue, 2);
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldAnswerWithAnErrorWhereDataMayNotBeRead(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        byte[] before = disk.content().clone();
        GuestRequest write = queue.add(GuestRequest.write(0, pattern(4 * PAGE, 1)));
        iommu.permit(write.bufferAddresses()[1] + 2 * PAGE, PAGE, IotlbMessage.WO);
        queue.publishAndKick();
        assertThat(iommu.await(queue, write).status()).isEqualTo(GuestRequest.IOERR);
        assertThat(disk.content()).isEqualTo(before);
    }

    @Test
    void shouldTellOfARefusalOnce() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        for (int i = 0; i < 3; i++) {
            GuestRequest read = queue.add(GuestRequest.read(0, 4 * PAGE));
            iommu.permit(read.bufferAddresses()[1] + PAGE, 2 * PAGE, 0);
            queue.publishAndKick();
            assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.IOERR);
            iommu.permit(read.bufferAddresses()[1] + PAGE, 2 * PAGE, IotlbMessage.RW);
        }
        iommu.run(queue, GuestRequest.read(0, 512));
        assertThat(iommu.accessFailCount()).isEqualTo(1);
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldBreakTheQueueWhereNoStatusMayBeWritten(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        GuestRequest read = queue.add(GuestRequest.read(0, 4 * PAGE).cutWritable(4 * PAGE));
        long[] buffers = read.bufferAddresses();
        iommu.permit(buffers[buffers.length - 1], 1, IotlbMessage.RO);
        queue.publishAndKick();
        iommu.awaitBroken(queue);
        assertThat(guest.frontend().getFeatures()).isNotZero();
    }

    @Test
    void shouldNotRunARingThatIsRefused() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = guest.queue(0, 128);
        long used = queue.ring().usedAddress();
        iommu.permit(used, 1, IotlbMessage.RO);
        queue.start();
        iommu.awaitBroken(queue);
        // The guest thinks better of it, and the front end says so.
        iommu.permit(used, 1, IotlbMessage.RW);
        assertThat(iommu.update(used)).isTrue();
        assertServed(queue, 1);
    }

    @Test
    void shouldRefuseAddressesThatNoIommuHas() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        SplitDriverVirtqueue ring = queue.splitRing();
        // Round the end of the address space; there is no page to be asked for.
        ring.rawDescriptor(100, -16, 64, VirtqueueLayout.VIRTQ_DESC_F_WRITE, 0);
        ring.rawAvailable(100);
        queue.publishAndKick();
        iommu.awaitBroken(queue);
    }

    // ---- invalidation

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldUseTheNewPageAfterAnInvalidation(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        byte[] data = pattern(4 * PAGE, 9);
        System.arraycopy(data, 0, disk.content(), 0, data.length);
        GuestRequest read = queue.add(GuestRequest.read(0, data.length));
        // Where nothing but data lies: the driver's view changes with the IOMMU.
        iommu.replacePage(read.bufferAddresses()[1] + PAGE);
        assertThat(iommu.invalidate(read.bufferAddresses()[1] + PAGE, 1)).isTrue();
        queue.publishAndKick();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.OK);
        assertThat(read.answer()).isEqualTo(data);
    }

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldGoOnAfterEverythingWasInvalidated(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        for (int i = 0; i < 50; i++) {
            assertServed(queue, i % 8);
            iommu.invalidateAll();
        }
    }

    @Test
    void shouldAnswerAnInvalidationWhenNothingInFlightUsesThePage() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        disk.hold();
        GuestRequest read = queue.submit(GuestRequest.read(0, 4 * PAGE));
        while (disk.underWay() == 0) {
            if (iommu.isAsked()) {
                iommu.serveOne();
            }
        }
        // Another page is nobody's business.
        assertThat(iommu.invalidate(iommu.viewAddress() + GuestIommu.VIEW_BYTES - PAGE, PAGE))
                .isTrue();
        guest.frontend()
                .send(
                        FrontendRequest.IOTLB_MSG,
                        0,
                        iommu.invalidation(read.bufferAddresses()[1] + PAGE, 1).encode());
        long untilNs = System.nanoTime() + 100_000_000;
        while (System.nanoTime() < untilNs) {
            assertThat(guest.frontend().hasEnded()).as("answered too early").isFalse();
        }
        disk.release();
        assertThat(guest.frontend()
                        .receiveReply(FrontendRequest.IOTLB_MSG, Long.BYTES)
                        .getLong())
                .isZero();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.OK);
    }

    // ---- who waits for whom

    /** The front end that is to answer is the one that waits for the base. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldStopWithoutTheAnswerToAMiss(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        GuestRequest first = iommu.run(queue, GuestRequest.read(0, 512));
        assertThat(first.status()).isEqualTo(GuestRequest.OK);
        GuestRequest read = queue.submit(GuestRequest.read(0, 40 * PAGE));
        awaitAsked();
        int base = queue.stop();
        queue.start(base, queue.kickFd(), queue.callFd());
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.OK);
    }

    private void awaitAsked() {
        while (!iommu.isAsked()) {
            Thread.onSpinWait();
        }
    }

    /** What waits to be taken is not in flight, what a predecessor left is: neither is lost. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldFinishAfterAReconnectWhatWasInFlight(RingKind rings) throws Exception {
        start(rings);
        guest.trackInflight(1, 128);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        GuestRequest read = queue.submit(GuestRequest.read(8, DATA_BYTES + 40 * PAGE));
        awaitAsked();
        guest.reconnect();
        iommu.reconnect();
        queue.restart();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.OK);
        assertServed(queue, 2);
    }

    /** Whoever leaves in the middle of a question has refused nothing: the guest must not see an error for that. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldNotTakeAChannelThatIsGoneForARefusal(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        GuestRequest read = queue.submit(GuestRequest.read(8, DATA_BYTES + 40 * PAGE));
        awaitAsked();
        iommu.dropChannel();
        for (int i = 0; i < 100; i++) {
            guest.frontend().getFeatures(); // So many turns of the loop that is to hear of it.
        }
        assertThat(queue.poll()).isNull();
        iommu.reconnect();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.OK);
        assertServed(queue, 2);
    }

    // ---- the dirty log

    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldLogThePagesBehindTheAddresses(RingKind rings) throws Exception {
        start(rings);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        try (FrontendLog log = FrontendLog.create(
                new LogRegion((Guest.GUEST_ADDRESS + guest.memory().sizeBytes()) / PAGE / 8, 0))) {
            assertThat(guest.frontend().setLogBase(log.region(), log.fd())).isTrue();
            queue.sendAddressesLogged(iommu.iova(queue.ring().usedAddress()));
            guest.setLogAll(true);
            GuestRequest read = iommu.run(queue, GuestRequest.read(0, 3 * PAGE));
            assertThat(read.status()).isEqualTo(GuestRequest.OK);
            long data = read.bufferAddresses()[1];
            assertThat(log.pages())
                    .contains(
                            iommu.guestPage(data),
                            iommu.guestPage(data + PAGE),
                            iommu.guestPage(data + 2 * PAGE),
                            iommu.guestPage(read.bufferAddresses()[2]),
                            iommu.guestPage(
                                    rings == RingKind.SPLIT
                                            ? queue.ring().usedAddress()
                                            : queue.ring().descAddress()))
                    .hasSizeLessThanOrEqualTo(7);
            guest.setLogAll(false);
        }
    }

    // ---- hostile guests and front ends

    @Test
    void shouldAskForABoundedNumberOfPages() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        SplitDriverVirtqueue ring = queue.splitRing();
        // 2 GiB of addresses that nothing lies behind, and a status that nothing lies behind either.
        ring.rawDescriptor(100, 1L << 40, Integer.MAX_VALUE, VirtqueueLayout.VIRTQ_DESC_F_NEXT, 101);
        ring.rawDescriptor(101, 1L << 41, 1, VirtqueueLayout.VIRTQ_DESC_F_WRITE, 0);
        ring.rawAvailable(100);
        queue.publishAndKick();
        for (int i = 0; i < 64; i++) {
            iommu.takeUnanswered();
        }
        queue.stop(); // However many of its questions wait.
        assertThat(iommu.isAsked()).isFalse();
        iommu.refuse(64);
        assertServed(queue.start(3, queue.kickFd(), queue.callFd()), 2); // Behind it.
    }

    /** More refused pages than are asked for at once. */
    @Test
    void shouldAnswerALargeRequestThatIsRefused() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        GuestRequest read = queue.add(GuestRequest.read(0, 200 * PAGE));
        iommu.permit(read.bufferAddresses()[1] + PAGE, 198 * PAGE, 0);
        queue.publishAndKick();
        assertThat(iommu.await(queue, read).status()).isEqualTo(GuestRequest.IOERR);
        assertThat(read.usedBytes()).isZero();
    }

    @Test
    void shouldOutliveAnyMessageAboutTheIommu() throws Exception {
        start(RingKind.SPLIT);
        GuestQueue queue = queue();
        assertServed(queue, 1);
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        long user = guest.memory().hostAddress();
        for (int i = 0; i < 20_000; i++) {
            long iova = random.nextInt(4) == 0 ? random.nextLong() : (long) random.nextInt(1 << 20) * PAGE;
            long size = random.nextInt(4) == 0 ? random.nextLong() : (long) random.nextInt(3) * PAGE;
            long where = random.nextInt(8) == 0 ? random.nextLong() : user + (long) random.nextInt(1000) * PAGE;
            int type = random.nextInt(16) == 0 ? random.nextInt(256) : IotlbMessage.UPDATE;
            guest.frontend().tellIotlb(new IotlbMessage(iova, size, where, random.nextInt(5), type));
            if (random.nextInt(100) == 0) {
                iommu.invalidateAll();
            }
        }
        iommu.invalidateAll();
        assertServed(queue, 2);
    }
}
