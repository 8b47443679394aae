// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.ScriptedDisk;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A busy queue beside another on one IOThread; for the loop it is the same whether they belong to one disk or two. */
final class FairnessTest {
    private static final int BUSY_REQUESTS = 1000;
    private static final int REQUESTS_PER_PASS = 128;
    private static final int SECTOR = 512;

    @TempDir
    Path directory;

    /**
     * While the busy queue's first request is at the disk, its ring fills up and the other queue gets one request. That one
     * is served after at most what is left of this pass and the next one's share.
     */
    @Test
    void shouldServeAQuietQueueBesideABusyOneWithinTwoPasses() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(4 << 20);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue busy = guest.queue(0, 1024).start();
            GuestQueue quiet = guest.queue(1, 16).start();
            quiet.run(read(0, SECTOR));
            busy.run(read(0, SECTOR));
            disk.nextCall();
            disk.nextCall();
            CountDownLatch atDisk = new CountDownLatch(1);
            CountDownLatch goOn = new CountDownLatch(1);
            disk.duringNextCall(() -> {
                atDisk.countDown();
                awaitOrFail(goOn);
            });
            busy.submit(read(0, SECTOR).indirect());
            awaitOrFail(atDisk);
            for (int i = 1; i < BUSY_REQUESTS; i++) {
                busy.add(read(0, SECTOR).indirect());
            }
            busy.publishAndKick();
            quiet.submit(read(7, SECTOR));
            goOn.countDown();
            busy.awaitAll();
            quiet.awaitAll();
            int before = 0;
            while (disk.nextCall().offsetBytes() != 7 * SECTOR) {
                before++;
            }
            assertThat(before).isLessThanOrEqualTo(2 * REQUESTS_PER_PASS);
        }
    }

    private static void awaitOrFail(CountDownLatch latch) {
        try {
            assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }
}
