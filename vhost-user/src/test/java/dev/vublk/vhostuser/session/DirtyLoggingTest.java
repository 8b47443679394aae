// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.Wire;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The messages of a migration: what rings are told, and that they run on (vhost-user, "Migration"). */
final class DirtyLoggingTest {
    private static final long LOG_GUEST_ADDRESS = 0x4000_8000L;
    private static final LogRegion REGION = new LogRegion(4096, 0);

    @TempDir
    private Path directory;

    private final FrontendLog seen = newLog();
    private SessionUnderTest session;

    private static FrontendLog newLog() {
        try {
            return FrontendLog.create(REGION);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** A session with protocol features, without LOG_ALL, and rings 0 and 1 running. */
    @BeforeEach
    void startRings() throws Exception {
        session = new SessionUnderTest(directory);
        session.negotiate();
        assertThat(session.frontend.setFeatures(features(false))).isTrue();
        assertThat(session.frontend.setMemTable(session.memory)).isTrue();
        session.runRing(0).runRing(1);
        session.device.calls.clear();
    }

    @AfterEach
    void tearDown() {
        session.close();
        seen.close();
    }

    private long features(boolean logAll) throws IOException {
        long offered = session.frontend.getFeatures();
        return logAll ? offered : offered & ~VirtioFeature.VHOST_F_LOG_ALL;
    }

    private void setLogAll(boolean on) throws IOException {
        assertThat(session.frontend.setFeatures(features(on))).isTrue();
    }

    private void setLogBase() throws IOException {
        assertThat(session.frontend.setLogBase(REGION, seen.fd())).isTrue();
    }

    private void logUsedRing(int index) throws IOException {
        assertThat(session.frontend.setVringAddrLogged(
                        index, session.desc(index), session.avail(index), session.used(index), LOG_GUEST_ADDRESS))
                .isTrue();
    }

    private QueueLog logOf(int index) {
        return Objects.requireNonNull(session.device.logs.get(index), "queue does not log");
    }

    /** Marks a page through a queue's log. */
    private void mark(int index, long page) {
        logOf(index).pages().markWritten(page * DirtyLog.PAGE_BYTES, 1);
    }

    @Test
    void shouldOfferWhatAMigrationNeeds() throws Exception {
        assertThat(session.frontend.getFeatures() & VirtioFeature.VHOST_F_LOG_ALL)
                .isNotZero();
        assertThat(ProtocolFeature.LOG_SHMFD.isIn(session.frontend.getProtocolFeatures()))
                .isTrue();
    }

    /** As QEMU begins a migration: SET_LOG_BASE, SET_FEATURES, SET_VRING_ADDR of each ring, while the guest runs. */
    @Test
    void shouldBeginAndEndLoggingWithoutStoppingRings() throws Exception {
        setLogBase();
        assertThat(session.device.logs).isEmpty();
        setLogAll(true);
        assertThat(logOf(0).usedGuestAddress()).isEqualTo(QueueLog.UNLOGGED);
        logUsedRing(0);
        logUsedRing(1);
        assertThat(logOf(0).usedGuestAddress()).isEqualTo(LOG_GUEST_ADDRESS);
        assertThat(logOf(1).usedGuestAddress()).isEqualTo(LOG_GUEST_ADDRESS);
        mark(0, 5);
        mark(1, 6);
        assertThat(seen.pages()).containsExactly(5L, 6L);
        setLogAll(false);
        assertThat(session.setVringAddr(0)).isTrue();
        assertThat(session.device.logs).isEmpty();
        assertThat(session.device.calls).noneMatch(call -> call.startsWith("stop") || call.startsWith("features"));
        assertThat(session.device.running).hasSize(2);
    }

    /** QEMU starts a device in the middle of a migration with LOG_ALL first and the log last. */
    @Test
    void shouldLogFromTheMomentThatThereIsALog() throws Exception {
        setLogAll(true);
        logUsedRing(0);
        assertThat(session.device.logs).isEmpty();
        setLogBase();
        assertThat(logOf(0).usedGuestAddress()).isEqualTo(LOG_GUEST_ADDRESS);
    }

    @Test
    void shouldStartARingWithItsLog() throws Exception {
        setLogBase();
        setLogAll(true);
        session.prepareRing(2);
        logUsedRing(2);
        assertThat(session.frontend.setVringEnable(2, true)).isTrue();
        assertThat(logOf(2).usedGuestAddress()).isEqualTo(LOG_GUEST_ADDRESS);
    }

    @Test
    void shouldStopARingWhoseAddressesReallyChange() throws Exception {
        assertThat(session.frontend.setVringAddr(0, session.desc(2), session.avail(2), session.used(2)))
                .isTrue();
        assertThat(session.device.calls).containsExactly("stop 0", "start 0");
    }

    /** Other features than LOG_ALL: the rings are drained, and then looked at without a kick. */
    @Test
    void shouldRestartRingsWhenFeaturesReallyChange() throws Exception {
        assertThat(session.frontend.setFeatures(features(true) & ~VirtioFeature.VIRTIO_F_EVENT_IDX))
                .isTrue();
        assertThat(session.device.calls).contains("stop 0", "stop 1", "start 0", "start 1");
        assertThat(session.device.setupOf(0).startNow()).isTrue();
        assertThat(session.device.setupOf(0).features() & VirtioFeature.VHOST_F_LOG_ALL)
                .isZero();
    }

    @Test
    void shouldReplaceTheLogWhileRingsRun() throws Exception {
        setLogBase();
        setLogAll(true);
        try (FrontendLog second = FrontendLog.create(new LogRegion(8192, 4096))) {
            assertThat(session.frontend.setLogBase(second.region(), second.fd()))
                    .isTrue();
            mark(0, 7);
            mark(1, 8);
            assertThat(second.pages()).containsExactly(7L, 8L);
            assertThat(seen.pages()).isEmpty();
        }
        assertThat(session.device.calls).noneMatch(call -> call.startsWith("stop"));
    }

    /** The answer comes whether asked for or not; QEMU does not ask. */
    @Test
    void shouldAnswerSetLogBaseUnasked() throws Exception {
        session.frontend.needReply(false);
        setLogBase();
        session.assertAlive();
    }

    @Test
    void shouldTellQueuesOfTheLogDescriptor() throws Exception {
        setLogBase();
        setLogAll(true);
        int eventFd = session.eventFd();
        assertThat(session.frontend.setLogFd(eventFd)).isTrue();
        EventFd.signal(logOf(0).eventFd());
        assertThat(EventFd.drain(eventFd)).isPositive();
        assertThat(session.frontend.setLogFd(session.eventFd())).isTrue();
        assertThat(FileDescriptor.duplicate(logOf(0).eventFd())).satisfies(fd -> {
            assertThat(fd).isNotNegative();
            FileDescriptor.close(fd);
        });
    }

    /** What cannot be mapped must not look like a log: there is no error in the answer that QEMU would see. */
    @ParameterizedTest
    @CsvSource({"0,0", "4097,0", "4096,4096", "-1,0", "1,-1", "9223372036854775807,0"})
    void shouldEndTheSessionOnAnImpossibleLog(long size, long offset) throws Exception {
        setLogBase();
        setLogAll(true);
        session.frontend.send(FrontendRequest.SET_LOG_BASE, 0, new LogRegion(size, offset).encode(), seen.fd());
        session.assertEndedAndServing();
    }

    @Test
    void shouldRefuseALogWithoutDescriptor() throws Exception {
        session.frontend.send(FrontendRequest.SET_LOG_BASE, 0, REGION.encode());
        session.assertEndedAndServing();
    }

    @Test
    void shouldKnowNoLogThatWasNotNegotiated() throws Exception {
        session.reconnect();
        session.frontend.send(
                FrontendRequest.SET_LOG_FD, MessageHeader.FLAG_NEED_REPLY, Wire.empty(), session.eventFd());
        assertThat(session.frontend
                        .receiveReply(FrontendRequest.SET_LOG_FD, Long.BYTES)
                        .getLong())
                .isNotZero();
        session.assertAlive();
    }

    // ---- the guest leaves

    private List<String> handOvers() {
        return session.device.calls.stream()
                .filter(call -> call.equals("handover"))
                .toList();
    }

    @Test
    void shouldHandOverWhenTheLastRingIsDisabledWhileLogging() throws Exception {
        setLogBase();
        setLogAll(true);
        assertThat(session.frontend.setVringEnable(0, false)).isTrue();
        assertThat(handOvers()).isEmpty();
        assertThat(session.frontend.setVringEnable(1, false)).isTrue();
        assertThat(handOvers()).hasSize(1);
        session.frontend.getVringBase(0);
        session.frontend.getVringBase(1);
        assertThat(handOvers()).hasSize(1);
    }

    @Test
    void shouldHandOverWhenTheLastRingIsStoppedWhileLogging() throws Exception {
        setLogBase();
        setLogAll(true);
        session.frontend.getVringBase(1);
        assertThat(handOvers()).isEmpty();
        session.frontend.getVringBase(0);
        assertThat(handOvers()).hasSize(1);
    }

    /** As QEMU 7.2 stops a device with STATUS: the reset first, then the rings one by one, whose bases it needs. */
    @Test
    void shouldHandOverAndKeepBasesWhenTheStatusIsResetFirst() throws Exception {
        setLogBase();
        setLogAll(true);
        session.device.basesAtStop.put(0, 1583);
        session.device.basesAtStop.put(1, 1257);
        assertThat(session.frontend.set(FrontendRequest.SET_STATUS, Wire.u64(0)))
                .isTrue();
        assertThat(handOvers()).hasSize(1);
        assertThat(session.frontend.setVringEnable(0, false)).isTrue();
        assertThat(session.frontend.getVringBase(0)).isEqualTo(1583);
        assertThat(session.frontend.getVringBase(1)).isEqualTo(1257);
        assertThat(handOvers()).hasSize(1);
    }

    /** The migration failed at the last moment, or the guest only reset itself. */
    @Test
    void shouldHandOverAgainWhenRingsRanAgain() throws Exception {
        setLogBase();
        setLogAll(true);
        session.frontend.setVringEnable(0, false);
        session.frontend.setVringEnable(1, false);
        assertThat(session.frontend.setVringEnable(0, true)).isTrue();
        assertThat(session.frontend.setVringEnable(0, false)).isTrue();
        assertThat(handOvers()).hasSize(2);
    }

    @Test
    void shouldNotHandOverWithoutMigration() throws Exception {
        setLogBase();
        session.frontend.getVringBase(0);
        session.frontend.getVringBase(1);
        assertThat(handOvers()).isEmpty();
    }

    @Test
    void shouldNotHandOverWhenRingsOnlyStopForAChange() throws Exception {
        setLogBase();
        setLogAll(true);
        assertThat(session.frontend.setMemTable(session.memory)).isTrue();
        assertThat(session.frontend.setFeatures(features(true) & ~VirtioFeature.VIRTIO_F_EVENT_IDX))
                .isTrue();
        assertThat(session.device.calls).contains("stop 0");
        assertThat(handOvers()).isEmpty();
        assertThat(session.device.logs).hasSize(2);
    }

    @Test
    void shouldNotHandOverWhenTheFrontEndDies() throws Exception {
        setLogBase();
        setLogAll(true);
        var device = session.device;
        session.reconnect();
        assertThat(device.calls).contains("stop 0", "close").doesNotContain("handover");
    }
}
