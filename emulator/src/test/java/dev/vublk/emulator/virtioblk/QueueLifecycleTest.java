// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.VringState;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Starting and stopping queues ("Ring states" of the vhost-user specification), with requests in flight. */
@ParameterizedClass
@EnumSource
final class QueueLifecycleTest {
    @Parameter
    RingKind rings = RingKind.SPLIT; // Set by JUnit.

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(4 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;

    @BeforeEach
    void start() throws Exception {
        emulator =
                new EmulatorUnderTest.Setup(directory).driver(disk).ioThreads(2).start();
        guest = Guest.connect(emulator, rings);
    }

    @AfterEach
    void stop() {
        disk.release();
        guest.close();
        emulator.close();
    }

    /** When this returns, the queue's IOThread has done whatever it had to do before. */
    private static void passOnTheSameIoThread(GuestQueue queue) throws Exception {
        queue.replaceCallFd();
        queue.replaceCallFd();
    }

    private void checkRunning(GuestQueue queue) {
        GuestRequest read = queue.run(read(1, 512));
        assertThat(read.status()).isEqualTo(OK);
        assertThat(read.usedBytes()).isEqualTo(513);
    }

    @Test
    void shouldLookAtAFreshRingOnlyAfterTheFirstKick() throws Exception {
        GuestQueue queue = guest.queue(0, 16);
        queue.add(read(0, 512));
        queue.publish();
        queue.start();
        passOnTheSameIoThread(queue);
        assertThat(disk.callsNotAskedFor()).isZero();
        queue.kick();
        assertThat(queue.awaitOne().status()).isEqualTo(OK);
    }

    @Test
    void shouldLookAtOnceAtARingThatWasInUseBefore() throws Exception {
        GuestQueue queue = guest.queue(0, 16).start();
        checkRunning(queue);
        int base = queue.stop();
        queue.add(read(0, 512));
        queue.publish();
        queue.start(base, queue.kickFd(), queue.callFd());
        assertThat(queue.awaitOne().status()).isEqualTo(OK);
    }

    @Test
    void shouldTakeNothingWhileDisabled() throws Exception {
        GuestQueue queue = guest.queue(0, 16).setUp(0, -1, -1);
        queue.add(read(0, 512));
        queue.publish();
        assertThat(guest.frontend().setVringEnable(0, true)).isTrue();
        assertThat(queue.spinForOne().status()).isEqualTo(OK);
        assertThat(guest.frontend().setVringEnable(0, false)).isTrue();
        GuestRequest waiting = queue.add(read(0, 1024));
        queue.publish();
        passOnTheSameIoThread(guest.queue(2, 16).start());
        assertThat(queue.poll()).isNull();
        assertThat(guest.frontend().setVringEnable(0, true)).isTrue();
        assertThat(queue.spinForOne()).isSameAs(waiting);
    }

    /** Many times over: the order in which the loop sees the stop and the disk's answers cannot be forced from here. */
    @RepeatedTest(20)
    void shouldDrainBeforeItAnswersTheBase() throws Exception {
        GuestQueue queue = guest.queue(0, 16).start();
        checkRunning(queue);
        disk.nextCall();
        disk.hold();
        for (int i = 0; i < 3; i++) {
            queue.submit(read(i, 512));
            disk.nextCall();
        }
        guest.frontend().send(FrontendRequest.GET_VRING_BASE, 0, new VringState(0, 0).encode());
        assertThat(disk.underWay()).isEqualTo(3);
        // Taken or not, depending on whether the ring saw it before the message arrived; never lost, never half done.
        queue.add(read(9, 512));
        queue.publish();
        queue.kick();
        assertThat(queue.ring().returnedCount()).isEqualTo(1);
        disk.release();
        VringState answer =
                VringState.decode(guest.frontend().receiveReply(FrontendRequest.GET_VRING_BASE, VringState.SIZE_BYTES));
        // All that were taken are published before the answer: no waiting here.
        int returned = queue.ring().returnedCount();
        assertThat(returned).isBetween(4, 5);
        for (int i = 1; i < returned; i++) {
            assertThat(queue.take().status()).isEqualTo(OK);
        }
        assertThat(answer.num()).isEqualTo(queue.ring().base());
        queue.start(answer.num(), queue.kickFd(), queue.callFd());
        if (returned == 4) {
            assertThat(queue.awaitOne().status()).isEqualTo(OK);
        }
    }

    @Test
    void shouldGoOnWithReplacedMemory() throws Exception {
        GuestQueue queue = guest.queue(0, 16).start();
        checkRunning(queue);
        disk.hold();
        GuestRequest inFlight = queue.submit(read(0, 512));
        disk.nextCall();
        disk.nextCall();
        try (FrontendMemory more = FrontendMemory.create(0x1_0000_0000L, 1 << 20)) {
            Thread releaser = Thread.ofPlatform().start(disk::release);
            assertThat(guest.frontend().setMemTable(more, guest.memory())).isTrue();
            releaser.join();
            assertThat(queue.awaitOne()).isSameAs(inFlight);
            checkRunning(queue);
            assertThat(guest.frontend().setMemTable(guest.memory())).isTrue();
            checkRunning(queue);
        }
    }

    @Test
    void shouldAddAndRemoveMemoryUnderRequestsInFlight() throws Exception {
        GuestQueue queue = guest.queue(0, 16).start();
        disk.hold();
        GuestRequest inFlight = queue.submit(read(0, 512));
        disk.nextCall();
        try (FrontendMemory more = FrontendMemory.create(0x1_0000_0000L, 1 << 20)) {
            // Adding waits for nothing that is in flight.
            assertThat(guest.frontend().addMemReg(more)).isTrue();
            assertThat(disk.underWay()).isEqualTo(1);
            disk.release();
            assertThat(queue.awaitOne()).isSameAs(inFlight);
            int head = queue.ring()
                    .add(
                            new long[] {headerAt(more, 0), more.guestAddress() + 512, more.guestAddress() + 4096},
                            new int[] {16, 512, 1},
                            1,
                            2);
            assertThat(head).isNotNegative();
            queue.publishAndKick();
            while (!queue.ring().pollUsed()) {
                if (!queue.ring().requestInterrupt()) {
                    GuestQueue.awaitSignal(queue.callFd(), "interrupt");
                }
            }
            assertThat(queue.ring().usedBytes()).isEqualTo(513);
            disk.nextCall();
            disk.hold();
            queue.submit(read(0, 512));
            disk.nextCall();
            Thread releaser = Thread.ofPlatform().start(disk::release);
            assertThat(guest.frontend().remMemReg(more)).isTrue();
            releaser.join();
            assertThat(queue.awaitOne().status()).isEqualTo(OK);
            checkRunning(queue);
            // What lies in the removed region is no memory any more.
            queue.ring().add(new long[] {more.guestAddress(), more.guestAddress() + 64}, new int[] {16, 1}, 1, 1);
            queue.publishAndKick();
            queue.awaitBroken();
        }
    }

    private static long headerAt(FrontendMemory memory, long sector) {
        HostMemory.putLong(memory.hostAddress(), IN);
        HostMemory.putLong(memory.hostAddress() + 8, sector);
        return memory.guestAddress();
    }

    @Test
    void shouldSignalAReplacedCallDescriptor() throws Exception {
        GuestQueue queue = guest.queue(0, 16).start();
        disk.hold();
        GuestRequest inFlight = queue.submit(read(0, 512));
        disk.nextCall();
        assertThat(queue.ring().requestInterrupt()).isFalse();
        queue.replaceCallFd();
        GuestQueue.awaitSignal(queue.callFd(), "signal on the new descriptor");
        disk.release();
        GuestQueue.awaitSignal(queue.callFd(), "interrupt on the new descriptor");
        assertThat(queue.poll()).isSameAs(inFlight);
        checkRunning(queue);
    }

    @Test
    void shouldServeADriverThatPolls() throws Exception {
        GuestQueue queue = guest.queue(0, 16);
        queue.start(queue.ring().base(), queue.kickFd(), -1);
        for (int i = 0; i < 100; i++) {
            GuestRequest request = queue.submit(read(i, 512));
            assertThat(queue.spinForOne()).isSameAs(request);
        }
    }

    @Test
    void shouldPollARingWithoutKicks() throws Exception {
        GuestQueue queue = guest.queue(0, 16);
        queue.start(queue.ring().base(), -1, queue.callFd());
        for (int i = 0; i < 100; i++) {
            GuestRequest request = queue.add(read(i, 512));
            queue.publish();
            assertThat(queue.awaitOne()).isSameAs(request);
        }
        assertThat(queue.ring().returnedCount()).isEqualTo(100);
        assertThat(queue.stop()).isEqualTo(queue.ring().base());
    }

    @Test
    void shouldServeSixtyFourQueuesEachOnItsIoThread() throws Exception {
        List<GuestQueue> queues = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            queues.add(guest.queue(i, 16).start());
        }
        for (int round = 0; round < 3; round++) {
            for (GuestQueue queue : queues) {
                queue.submit(read(queue.index(), 512));
                queue.submit(write(64 + queue.index(), new byte[512]));
            }
            queues.forEach(GuestQueue::awaitAll);
        }
        Set<String> seen = new HashSet<>();
        for (int i = 0; i < 64 * 3 * 2; i++) {
            ScriptedDisk.Call call = disk.nextCall();
            long index = call.offsetBytes() / 512 % 64;
            assertThat(call.thread()).isEqualTo("vublk-iothread-" + index % 2);
            seen.add(call.thread());
        }
        assertThat(seen).hasSize(2);
        for (GuestQueue queue : queues) {
            assertThat(queue.ring().returnedCount()).isEqualTo(6);
            assertThat(queue.stop()).isEqualTo(queue.ring().base());
        }
    }

    @Test
    void shouldServeTheNextFrontEndAfterOneThatVanished() throws Exception {
        GuestQueue queue = guest.queue(0, 128).start();
        byte[] data = new byte[4096];
        Arrays.fill(data, (byte) 7);
        disk.hold();
        for (int i = 0; i < 20; i++) {
            queue.submit(write(8L * i, data));
            disk.nextCall();
        }
        guest.close();
        disk.release();
        guest = Guest.connect(emulator, rings);
        GuestQueue next = guest.queue();
        // What had been taken was carried out, from memory that stayed mapped.
        GuestRequest read = next.run(read(0, 20 * 4096));
        assertThat(read.status()).isEqualTo(OK);
        assertThat(read.answer()).containsOnly(7);
    }

    @Test
    void shouldStopWithRequestsInFlight() throws Exception {
        GuestQueue queue = guest.queue(0, 128).start();
        disk.hold();
        for (int i = 0; i < 20; i++) {
            queue.submit(read(i, 512));
            disk.nextCall();
        }
        Thread closer = Thread.ofPlatform().start(emulator::close);
        assertThat(disk.underWay()).isEqualTo(20);
        disk.release();
        assertThat(closer.join(Duration.ofSeconds(20))).isTrue();
        for (int i = 0; i < 20; i++) {
            assertThat(queue.take().status()).isEqualTo(OK);
        }
    }

    @Test
    void shouldAnswerErrorsOfTheDisk() throws Exception {
        GuestQueue queue = guest.queue();
        disk.result(-5);
        assertThat(queue.run(read(0, 512)).status()).isEqualTo(IOERR);
        assertThat(queue.run(of(FLUSH, 0)).status()).isEqualTo(IOERR);
        disk.result(-95);
        assertThat(queue.run(ranges(DISCARD, 0, 1, 0)).status()).isEqualTo(UNSUPP);
        disk.result(0);
        checkRunning(queue);
    }
}
