// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Front ends that come and go leave nothing behind. */
final class ReconnectTest {
    private static final int ROUNDS = 1000;
    private static final int WARM_UP = 200;

    @TempDir
    Path directory;

    private static void oneRequest(EmulatorUnderTest emulator) throws Exception {
        try (Guest guest = Guest.connect(emulator)) {
            GuestRequest read = guest.queue().run(GuestRequest.read(1, 4096));
            assertThat(read.status()).isEqualTo(GuestRequest.OK);
        }
    }

    /** The descriptors of a message are closed after its reply: one more message makes sure of that. */
    private static Guest connectAndSettle(EmulatorUnderTest emulator) throws Exception {
        Guest guest = Guest.connect(emulator);
        guest.frontend().getQueueNum();
        return guest;
    }

    private static long usedHeapBytes() {
        System.gc();
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    @Test
    void shouldHoldNoMoreAfterAThousandFrontEnds() throws Exception {
        Path image = directory.resolve("disk.img");
        Files.write(image, new byte[1 << 20]);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                .block(BlockOptions.of(image.toString()))
                .ioThreads(2)
                .start()) {
            for (int i = 0; i < WARM_UP; i++) {
                oneRequest(emulator);
            }
            // A front end is served only when the one before it is gone altogether.
            Guest held = connectAndSettle(emulator);
            ProcessResources before = ProcessResources.now();
            long heapBefore = usedHeapBytes();
            held.close();
            for (int i = 0; i < ROUNDS; i++) {
                oneRequest(emulator);
            }
            try (Guest last = connectAndSettle(emulator)) {
                assertThat(last).isNotNull();
                assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
                // One object a round would be a leak; what the virtual machine itself adds is less (15 bytes were
                // seen).
                assertThat(usedHeapBytes() - heapBefore).isLessThan(ROUNDS * 256L);
            }
        }
    }
}
