// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** When as many coroutines exist as may exist, requests wait their turn; all of them come to it. */
final class CoroutineLimitTest {
    private static final int RESERVED_PER_LOOP = 16;
    private static final int QUEUES = 4;
    private static final int DEPTH = 64;

    @TempDir
    Path directory;

    @Test
    void shouldCompleteAllRequestsWithAHandfulOfCoroutines() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20).hold();
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .driver(disk)
                        .ioThreads(2)
                        .coroutines(new GlobalCoroutinePool(4, 1))
                        .start();
                Guest guest = Guest.connect(emulator)) {
            List<GuestQueue> queues = new ArrayList<>();
            for (int i = 0; i < QUEUES; i++) {
                queues.add(guest.queue(i, 256).start());
            }
            for (GuestQueue queue : queues) {
                for (int i = 0; i < DEPTH; i++) {
                    queue.add(read(i, 512));
                }
                queue.publishAndKick();
            }
            // Each loop keeps one coroutine for itself.
            for (int i = 0; i < 2 * (RESERVED_PER_LOOP - 1); i++) {
                disk.nextCall();
            }
            // A message that goes through both loops: nothing more has been begun meanwhile.
            queues.get(0).replaceCallFd();
            queues.get(1).replaceCallFd();
            assertThat(disk.underWay()).isEqualTo(2 * (RESERVED_PER_LOOP - 1));
            disk.release();
            for (GuestQueue queue : queues) {
                for (int i = 0; i < DEPTH; i++) {
                    GuestRequest done = queue.awaitOne();
                    assertThat(done.status()).isEqualTo(OK);
                }
                assertThat(queue.stop()).isEqualTo(DEPTH);
            }
        }
    }
}
