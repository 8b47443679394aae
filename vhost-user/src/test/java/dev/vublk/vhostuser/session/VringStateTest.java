// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When a ring runs, what the device is given, and what each message does to a running ring (vhost-user "Ring states"). */
final class VringStateTest {
    private static final int DRAINED_SIGNAL = 8;
    private static final int O_NONBLOCK = 04000;

    @TempDir
    private Path directory;

    private SessionUnderTest session() throws Exception {
        return new SessionUnderTest(directory).negotiateWithMemory();
    }

    // ---- starting

    @Test
    void shouldStartARingWhenTheLastPieceHasCome() throws Exception {
        try (SessionUnderTest session = session()) {
            session.prepareRing(2);
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setVringEnable(2, true)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(2);
        }
    }

    /** The specification fixes no order among these: whatever comes last starts the ring. */
    @ParameterizedTest
    @ValueSource(strings = {"num", "addr", "kick", "enable"})
    void shouldStartARingWhicheverPieceComesLast(String last) throws Exception {
        try (SessionUnderTest session = session()) {
            String[] pieces = {"num", "addr", "kick", "enable"};
            for (String piece : pieces) {
                if (!piece.equals(last)) {
                    give(session, piece);
                }
            }
            assertThat(session.device.running).isEmpty();
            give(session, last);
            assertThat(session.device.running).containsOnlyKeys(1);
        }
    }

    private static void give(SessionUnderTest session, String piece) throws Exception {
        boolean taken = switch (piece) {
            case "num" -> session.frontend.setVringNum(1, SessionUnderTest.RING_SIZE);
            case "addr" -> session.setVringAddr(1);
            case "kick" -> session.frontend.setVringKick(1, session.eventFd());
            default -> session.frontend.setVringEnable(1, true);
        };
        assertThat(taken).isTrue();
    }

    /** Ring addresses are the front end's own; the device gets addresses of this process. */
    @Test
    void shouldHandTheDeviceCheckedHostAddresses() throws Exception {
        try (SessionUnderTest session = session().runRing(1)) {
            VirtqueueSetup setup = session.device.lastSetup();
            assertThat(setup.queueIndex()).isEqualTo(1);
            assertThat(setup.size()).isEqualTo(SessionUnderTest.RING_SIZE);
            assertThat(setup.descHostAddress()).isNotEqualTo(session.desc(1));
            assertThat(setup.memory().translate(SessionUnderTest.GUEST_ADDRESS + 0x10000, 1))
                    .isEqualTo(setup.descHostAddress());
        }
    }

    @Test
    void shouldHandTheDeviceTheFrontEndsEventfds() throws Exception {
        try (SessionUnderTest session = session()) {
            int kick = session.eventFd();
            int call = session.eventFd();
            int err = session.eventFd();
            session.prepareRing(0);
            assertThat(session.frontend.setVringKick(0, kick)).isTrue();
            assertThat(session.frontend.setVringCall(0, call)).isTrue();
            assertThat(session.frontend.setVringErr(0, err)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            EventFd.drain(call);

            VirtqueueSetup setup = session.device.lastSetup();
            EventFd.signal(kick);
            assertThat(EventFd.drain(setup.kickFd())).isEqualTo(DRAINED_SIGNAL);
            EventFd.signal(setup.callFd());
            assertThat(EventFd.drain(call)).isEqualTo(DRAINED_SIGNAL);
            EventFd.signal(setup.errFd());
            assertThat(EventFd.drain(err)).isEqualTo(DRAINED_SIGNAL);
        }
    }

    /** Linux UML passes a blocking kick eventfd: a spurious wake-up must not block a loop, nor a full pipe. */
    @Test
    void shouldMakePassedDescriptorsNonBlocking() throws Exception {
        try (SessionUnderTest session = session()) {
            session.prepareRing(0);
            int[] blocking = new int[3];
            Arrays.setAll(blocking, i -> EventFd.createBlocking());
            assertThat(session.frontend.setVringKick(0, blocking[0])).isTrue();
            assertThat(session.frontend.setVringCall(0, blocking[1])).isTrue();
            assertThat(session.frontend.setVringErr(0, blocking[2])).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            VirtqueueSetup setup = session.device.lastSetup();
            for (int fd : new int[] {setup.kickFd(), setup.callFd(), setup.errFd()}) {
                String flags = Files.readAllLines(Path.of("/proc/self/fdinfo/" + fd)).stream()
                        .filter(line -> line.startsWith("flags:"))
                        .findFirst()
                        .orElseThrow();
                assertThat(Long.parseLong(flags.substring("flags:".length()).trim(), 8) & O_NONBLOCK)
                        .isNotZero();
            }
            for (int fd : blocking) {
                FileDescriptor.close(fd);
            }
        }
    }

    @Test
    void shouldRunARingThatIsNeverKicked() throws Exception {
        try (SessionUnderTest session = session()) {
            session.prepareRing(0);
            assertThat(session.frontend.setVringKick(0, -1)).isTrue();
            assertThat(session.frontend.setVringCall(0, -1)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().kickFd()).isEqualTo(-1);
            assertThat(session.device.lastSetup().callFd()).isEqualTo(-1);
        }
    }

    // ---- looking at the ring at once, or on the first kick

    @Test
    void shouldLetAFreshRingWaitForItsFirstKick() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            assertThat(session.device.lastSetup().startNow()).isFalse();
        }
    }

    /** After a reconnect the front end kicks only for new requests. */
    @Test
    void shouldLookAtOnceAtARingWithABase() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            assertThat(session.frontend.setVringBase(0, 500)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().base()).isEqualTo(500);
            assertThat(session.device.lastSetup().startNow()).isTrue();
        }
    }

    @Test
    void shouldLookAtOnceAtARingWhoseUsedIndexHasMoved() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            HostMemory.putU16(session.used(0) + 2, 65535);
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().startNow()).isTrue();
        }
    }

    /** The device may have taken the kick and been stopped before it took the request. */
    @Test
    void shouldLookAtOnceAtARingThatItStoppedAndResumes() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            assertThat(session.frontend.setVringEnable(0, false)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().startNow()).isTrue();
        }
    }

    @Test
    void shouldLookAtOnceAtARingResumedThroughItsOwnBaseZero() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            assertThat(session.frontend.getVringBase(0)).isZero();
            session.prepareRing(0);
            assertThat(session.device.lastSetup().startNow()).isTrue();
        }
    }

    @Test
    void shouldLetARingThatWasSetUpAnewWaitForItsFirstKick() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.basesAtStop.put(0, 300);
            assertThat(session.frontend.getVringBase(0)).isEqualTo(300);
            session.prepareRing(0);
            assertThat(session.device.lastSetup().base()).isZero();
            assertThat(session.device.lastSetup().startNow()).isFalse();
        }
    }

    // ---- stopping

    @Test
    void shouldStopARingThatIsDisabledAndRememberWhereItWas() throws Exception {
        try (SessionUnderTest session = session().runRing(0).runRing(1)) {
            session.device.calls.clear();
            session.device.basesAtStop.put(0, 42);
            assertThat(session.frontend.setVringEnable(0, false)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0");
            assertThat(session.frontend.setVringEnable(0, false)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0");
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().base()).isEqualTo(42);
        }
    }

    @Test
    void shouldAnswerGetVringBaseWithTheBaseOfTheStoppedRing() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.basesAtStop.put(0, 65535);
            assertThat(session.frontend.getVringBase(0)).isEqualTo(65535);
            assertThat(session.device.running).isEmpty();
        }
    }

    @Test
    void shouldKeepARingStoppedAfterGetVringBaseUntilTheNextKick() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.basesAtStop.put(0, 9);
            assertThat(session.frontend.getVringBase(0)).isEqualTo(9);
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.setVringAddr(0)).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.getVringBase(0)).isEqualTo(9);
            assertThat(session.frontend.setVringKick(0, session.eventFd())).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
            assertThat(session.device.lastSetup().base()).isEqualTo(9);
        }
    }

    @Test
    void shouldAnswerGetVringBaseOfARingThatNeverRan() throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(session.frontend.getVringBase(3)).isZero();
            assertThat(session.frontend.setVringBase(3, 77)).isTrue();
            assertThat(session.frontend.getVringBase(3)).isEqualTo(77);
            assertThat(session.device.calls).doesNotContain("stop 3");
        }
    }

    // ---- changing a running ring

    @Test
    void shouldRestartARunningRingWithAChangedSize() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            session.device.basesAtStop.put(0, 5);
            assertThat(session.frontend.setVringNum(0, 64)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "start 0");
            assertThat(session.device.lastSetup().size()).isEqualTo(64);
            assertThat(session.device.lastSetup().base()).isEqualTo(5);
        }
    }

    @Test
    void shouldRestartARunningRingWithAChangedBase() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            session.device.basesAtStop.put(0, 5);
            assertThat(session.frontend.setVringBase(0, 1000)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "start 0");
            assertThat(session.device.lastSetup().base()).isEqualTo(1000);
        }
    }

    @Test
    void shouldRestartARunningRingAtChangedAddresses() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            assertThat(session.frontend.setVringAddr(0, session.desc(3), session.avail(3), session.used(3)))
                    .isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "start 0");
            HostMemory.putInt(session.desc(3), 0x44444444);
            assertThat(HostMemory.getInt(session.device.lastSetup().descHostAddress()))
                    .isEqualTo(0x44444444);
        }
    }

    @Test
    void shouldRestartARunningRingWithANewKick() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            int kick = session.eventFd();
            assertThat(session.frontend.setVringKick(0, kick)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "start 0");
            EventFd.signal(kick);
            assertThat(EventFd.drain(session.device.lastSetup().kickFd())).isEqualTo(DRAINED_SIGNAL);
        }
    }

    @Test
    void shouldNotDisturbARunningRingWithValuesItHasAlready() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            assertThat(session.frontend.setVringNum(0, SessionUnderTest.RING_SIZE))
                    .isTrue();
            assertThat(session.frontend.setVringBase(0, 0)).isTrue();
            assertThat(session.setVringAddr(0)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.calls).isEmpty();
        }
    }

    // ---- call and error

    /** Drivers and tests wait for it: an interrupt may have been lost with the descriptor before. */
    @Test
    void shouldSignalANewCallDescriptorAtOnce() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            int call = session.eventFd();
            assertThat(session.frontend.setVringCall(0, call)).isTrue();
            assertThat(EventFd.drain(call)).isEqualTo(DRAINED_SIGNAL);
            assertThat(session.device.calls).contains("call 0");
        }
    }

    @Test
    void shouldSignalACallDescriptorOfARingThatDoesNotRunYet() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            int call = session.eventFd();
            session.frontend.setVringCall(0, call);
            session.assertAlive();
            assertThat(EventFd.drain(call)).isEqualTo(DRAINED_SIGNAL);
            assertThat(session.device.calls).isEmpty();
        }
    }

    @Test
    void shouldNotSignalAnErrorDescriptor() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            int err = session.eventFd();
            assertThat(session.frontend.setVringErr(0, err)).isTrue();
            assertThat(EventFd.drain(err)).isNegative();
            assertThat(session.device.calls).contains("err 0");
        }
    }

    /** QEMU sends these for every queue before SET_FEATURES and before any memory. */
    @Test
    void shouldTakeCallAndErrorOfEveryQueueBeforeAnythingElse() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            for (int i = 0; i < RecordingDevice.QUEUES; i++) {
                assertThat(session.frontend.setVringCall(i, session.eventFd())).isTrue();
                assertThat(session.frontend.setVringErr(i, session.eventFd())).isTrue();
            }
        }
    }

    /** A pipe or socket that is full must not stop the control loop. */
    @Test
    void shouldNotBlockOnACallDescriptorThatTakesNothing() throws Exception {
        try (SessionUnderTest session = session();
                Pipe pipe = new Pipe()) {
            FileDescriptor.setNonBlocking(pipe.writeFd());
            while (FileDescriptor.write(pipe.writeFd(), new byte[4096]) > 0) {
                // filling it
            }
            assertThat(session.frontend.setVringCall(0, pipe.writeFd())).isTrue();
        }
    }

    @Test
    void shouldLeaveTheCallDescriptorUsableAcrossGetVringBase() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            int call = session.eventFd();
            assertThat(session.frontend.setVringCall(0, call)).isTrue();
            EventFd.drain(call);
            session.frontend.getVringBase(0);
            assertThat(session.frontend.setVringKick(0, session.eventFd())).isTrue();
            EventFd.signal(session.device.lastSetup().callFd());
            assertThat(EventFd.drain(call)).isEqualTo(DRAINED_SIGNAL);
        }
    }

    // ---- refusals

    /** A write to a file waits for whoever serves it, whatever O_NONBLOCK says: a loop must never meet one. */
    @Test
    void shouldRefuseToSignalFiles() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            int file = SharedMapping.createMemoryFile("vublk-file", 4096);
            session.device.calls.clear();
            assertThat(session.frontend.setVringKick(0, file)).isFalse();
            assertThat(session.frontend.setVringCall(0, file)).isFalse();
            assertThat(session.frontend.setVringErr(0, file)).isFalse();
            assertThat(session.frontend.setLogFd(file)).isFalse();
            assertThat(session.frontend.setBackendReqFd(file)).isFalse();
            FileDescriptor.close(file);
            session.assertAlive();
            assertThat(session.device.calls).isEmpty();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {65536, -1, Integer.MIN_VALUE})
    void shouldRefuseABaseBeyondSixteenBits(int base) throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(session.frontend.setVringBase(0, base)).isFalse();
            session.assertAlive();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {2, -1, 256})
    void shouldRefuseToEnableWithAnythingButZeroOrOne(int num) throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(session.frontend.set(FrontendRequest.SET_VRING_ENABLE, new VringState(0, num).encode()))
                    .isFalse();
            session.assertAlive();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {RecordingDevice.QUEUES, 255, 256, -1, Integer.MIN_VALUE, Integer.MAX_VALUE})
    void shouldRefuseARingBeyondTheDevices(int index) throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(session.frontend.setVringNum(index, 64)).isFalse();
            assertThat(session.frontend.setVringBase(index, 0)).isFalse();
            assertThat(session.frontend.setVringAddr(index, session.desc(0), session.avail(0), session.used(0)))
                    .isFalse();
            assertThat(session.frontend.setVringEnable(index, true)).isFalse();
            session.assertAlive();
            session.frontend.send(FrontendRequest.GET_VRING_BASE, 0, new VringState(index, 0).encode());
            session.assertEndedAndServing();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {RecordingDevice.QUEUES, 255})
    void shouldRefuseDescriptorsOfARingBeyondTheDevices(int index) throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(session.frontend.setVringKick(index, session.eventFd())).isFalse();
            assertThat(session.frontend.setVringCall(index, session.eventFd())).isFalse();
            assertThat(session.frontend.setVringErr(index, -1)).isFalse();
            session.assertAlive();
        }
    }

    /** Aligned for the front end, but not where it is mapped here. */
    @Test
    void shouldRefuseARingThatIsNotAlignedInItsFile() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            MemoryRegionDescription honest = session.memory.description();
            MemoryRegionDescription shifted = new MemoryRegionDescription(
                    honest.guestAddress(), honest.sizeBytes() - 4096, honest.userAddress(), 8);
            assertThat(session.frontend.set(
                            FrontendRequest.SET_MEM_TABLE,
                            new MemoryTable(List.of(shifted)).encode(),
                            session.memory.fd()))
                    .isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isFalse();
            session.assertAlive();
            assertThat(session.device.setups).isEmpty();
        }
    }

    @Test
    void shouldTakeTheLogFlagOfAnAddressWithoutLogging() throws Exception {
        try (SessionUnderTest session = session()) {
            VringAddress address = new VringAddress(0, 1, session.desc(0), session.used(0), session.avail(0), -1L);
            assertThat(session.frontend.set(FrontendRequest.SET_VRING_ADDR, address.encode()))
                    .isTrue();
        }
    }

    @Test
    void shouldEndOnlyTheSessionWhenTheDeviceFailsToStart() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            session.device.failStart = true;
            session.frontend.needReply(false);
            session.frontend.setVringEnable(0, true);
            session.assertEndedAndServing();
        }
    }
}
