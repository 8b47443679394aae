// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A guest that truncates its memory file under us: SIGBUS becomes an InternalError, and only its queues suffer. */
@ParameterizedClass
@EnumSource
final class GoneMemoryTest {
    @Parameter
    RingKind rings = RingKind.SPLIT; // Set by JUnit.

    private static final int COMPILED = 30_000;

    @TempDir
    Path directory;

    /** Requests enough that the path is compiled: there the error comes a little later than the access. */
    private static void warmUp(GuestQueue queue, int count) {
        for (int i = 0; i < count; i += 30) {
            for (int j = 0; j < 30; j++) {
                queue.add(read(0, 512));
            }
            queue.publishAndKick();
            queue.awaitAll();
        }
    }

    private void checkNextFrontEndIsServed(EmulatorUnderTest emulator) throws Exception {
        try (Guest next = Guest.connect(emulator, rings)) {
            assertThat(next.queue().run(read(0, 512)).status()).isEqualTo(OK);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, COMPILED})
    void shouldOutliveARingThatIsGone(int warmUp) throws Exception {
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory).start()) {
            try (Guest guest = Guest.connect(emulator, rings)) {
                GuestQueue queue = guest.queue();
                warmUp(queue, warmUp);
                assertThat(SharedMapping.resize(guest.memory().fd(), 0)).isZero();
                queue.kick();
                queue.awaitBroken();
                queue.kick();
                queue.stop();
            }
            checkNextFrontEndIsServed(emulator);
        }
    }

    /** A request whose data and status lie in memory of their own, which goes away while the disk is at work. */
    private static FrontendMemory submitWithBuffersIn(Guest guest, GuestQueue queue) throws Exception {
        FrontendMemory buffers = FrontendMemory.create(0x1_0000_0000L, 1 << 20);
        assertThat(guest.frontend().addMemReg(buffers)).isTrue();
        long header = guest.memory().hostAddress() + guest.memory().sizeBytes() - 64;
        HostMemory.putLong(header, IN);
        HostMemory.putLong(header + 8, 0);
        queue.ring()
                .add(
                        new long[] {guest.guestAddress(header), buffers.guestAddress(), buffers.guestAddress() + 8192},
                        new int[] {16, 4096, 1},
                        1,
                        2);
        return buffers;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, COMPILED})
    void shouldOutliveBuffersThatGoWhileTheDiskIsAtWork(int warmUp) throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        try (EmulatorUnderTest emulator =
                new EmulatorUnderTest.Setup(directory).driver(disk).start()) {
            try (Guest guest = Guest.connect(emulator, rings)) {
                GuestQueue other = guest.queue(1, 128).start();
                GuestQueue queue = guest.queue();
                warmUp(queue, warmUp);
                try (FrontendMemory buffers = submitWithBuffersIn(guest, queue)) {
                    disk.hold();
                    queue.publishAndKick();
                    while (disk.underWay() == 0) {
                        disk.nextCall();
                    }
                    assertThat(SharedMapping.resize(buffers.fd(), 0)).isZero();
                    disk.release();
                    queue.awaitBroken();
                    assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
                    queue.stop();
                }
            }
            checkNextFrontEndIsServed(emulator);
        }
    }

    @Test
    void shouldOutliveBuffersThatTheKernelCannotReach() throws Exception {
        Path image = directory.resolve("disk.img");
        Files.write(image, new byte[1 << 20]);
        BlockOptions options = BlockOptions.of(image.toString());
        try (EmulatorUnderTest emulator =
                new EmulatorUnderTest.Setup(directory).block(options).start()) {
            try (Guest guest = Guest.connect(emulator, rings)) {
                GuestQueue other = guest.queue(1, 128).start();
                GuestQueue queue = guest.queue();
                try (FrontendMemory buffers = submitWithBuffersIn(guest, queue)) {
                    assertThat(SharedMapping.resize(buffers.fd(), 0)).isZero();
                    queue.publishAndKick();
                    queue.awaitBroken();
                    assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
                    queue.stop();
                }
            }
            checkNextFrontEndIsServed(emulator);
        }
    }
}
