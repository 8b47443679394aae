// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * After warm-up, requests cost their IOThread no garbage: less than a byte each, over a million of them.
 *
 * <p>The driver here makes no garbage either: each collection would cost every suspended coroutine a new stack.
 */
final class RequestAllocationTest {
    private static final int ROUND_REQUESTS = 100_000;
    private static final int ROUNDS = 10;
    private static final int WARM_UP_ROUNDS_MAX = 15;
    private static final int DEPTH = 64;
    private static final int DATA_BYTES = 4096;
    private static final int SLOT_BYTES = 2 * DATA_BYTES;
    private static final int STATUS_OFFSET = 64;

    @TempDir
    Path directory;

    /** Reads and writes, {@link #DEPTH} at a time, from slots that are laid out once. */
    private static final class Driver {
        private final GuestQueue queue;
        private final long[][] addresses = new long[DEPTH][];
        private final int[] lengths = {GuestRequest.HEADER_BYTES, DATA_BYTES, 1};

        private Driver(Guest guest, GuestQueue queue) {
            this.queue = queue;
            // The other half of the guest's memory, which nobody else has asked for.
            long base = guest.memory().sizeBytes() / 2;
            for (int i = 0; i < DEPTH; i++) {
                long slot = base + (long) i * SLOT_BYTES;
                HostMemory.putLong(guest.memory().hostAddress() + slot, typeOf(i));
                HostMemory.putLong(guest.memory().hostAddress() + slot + 8, 8L * i);
                long guestSlot = Guest.GUEST_ADDRESS + slot;
                addresses[i] = new long[] {guestSlot, guestSlot + DATA_BYTES, guestSlot + STATUS_OFFSET};
            }
        }

        private static int typeOf(int slot) {
            return slot % 4 == 0 ? GuestRequest.OUT : GuestRequest.IN;
        }

        private void run() {
            DriverVirtqueue ring = queue.ring();
            ring.suppressInterrupts();
            long deadlineNs = System.nanoTime() + TimeUnit.MINUTES.toNanos(2);
            for (int i = 0; i < ROUND_REQUESTS; i += DEPTH) {
                for (int j = 0; j < DEPTH; j++) {
                    boolean write = typeOf(j) == GuestRequest.OUT;
                    ring.add(addresses[j], lengths, write ? 2 : 1, write ? 1 : 2);
                }
                queue.publishAndKick();
                for (int done = 0; done < DEPTH; ) {
                    if (ring.pollUsed()) {
                        done++;
                    } else if (System.nanoTime() > deadlineNs) {
                        throw new AssertionError("nothing was completed");
                    } else {
                        Thread.onSpinWait();
                    }
                }
            }
        }
    }

    private static long allocatedBytes(long threadId) {
        return ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getThreadAllocatedBytes(threadId);
    }

    /** The compiler takes its time on a busy machine: the warm-up goes on until a round makes next to no garbage. */
    private void check(RingKind rings, BlockOptions options) throws Exception {
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).block(options).start();
                Guest guest = Guest.connect(emulator, rings)) {
            long threadId = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread -> thread.getName().equals("vublk-iothread-0"))
                    .mapToLong(Thread::threadId)
                    .findFirst()
                    .orElseThrow();
            Driver driver = new Driver(guest, guest.queue(0, 256).start());
            double warm = Double.MAX_VALUE;
            for (int round = 0; round < WARM_UP_ROUNDS_MAX && warm > 0.1; round++) {
                warm = bytesPerRequest(driver, threadId, 1);
            }
            double perRequest = bytesPerRequest(driver, threadId, ROUNDS);
            System.out.println(
                    rings + " " + options.image() + " " + options.engine() + ": " + perRequest + " bytes a request");
            assertThat(perRequest).isLessThanOrEqualTo(1.0);
        }
    }

    private static double bytesPerRequest(Driver driver, long threadId, int rounds) {
        long before = allocatedBytes(threadId);
        for (int round = 0; round < rounds; round++) {
            driver.run();
        }
        return (allocatedBytes(threadId) - before) / ((double) rounds * ROUND_REQUESTS);
    }

    @ParameterizedTest
    @EnumSource
    void shouldAllocateNothingForANullDisk(RingKind rings) throws Exception {
        check(rings, BlockOptions.of("null:64MiB"));
    }

    @ParameterizedTest
    @EnumSource
    void shouldAllocateNothingForAFileThroughIoUring(RingKind rings) throws Exception {
        check(rings, file(IoEngine.IO_URING));
    }

    @ParameterizedTest
    @EnumSource
    void shouldAllocateNothingForAFileThroughWorkers(RingKind rings) throws Exception {
        check(rings, file(IoEngine.THREADS));
    }

    private BlockOptions file(IoEngine engine) throws Exception {
        Path image = directory.resolve("disk.img");
        Files.write(image, new byte[1 << 20]);
        return BlockOptions.of(image.toString()).withEngine(engine);
    }
}
