// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A driver and a device on two threads and one ring: every request is answered, and nobody sleeps through what the other did.
 * A lost kick or interrupt shows as one that does not come.
 */
class ConcurrentVirtqueueTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long SLOTS = GUEST + (1 << 20);
    private static final int SLOT_BYTES = 256;
    private static final int REQUESTS = 200_000;
    private static final int LOST_AFTER_S = 20;

    private final TestMemory memory = new TestMemory(GUEST, 4 << 20);
    private final Semaphore kicks = new Semaphore(0);
    private final Semaphore calls = new Semaphore(0);
    private final long seed = Long.getLong("vublk.seed", System.nanoTime());

    private static void await(Semaphore signal, String what) throws InterruptedException {
        assertThat(signal.tryAcquire(LOST_AFTER_S, TimeUnit.SECONDS)).as(what).isTrue();
        signal.drainPermits();
    }

    @ParameterizedTest
    @CsvSource({
        "SPLIT, 64, true",
        "SPLIT, 64, false",
        "SPLIT, 4, true",
        "PACKED, 64, true",
        "PACKED, 61, false",
        "PACKED, 5, true"
    })
    void shouldAnswerEveryRequest(VirtqueueTest.Kind kind, int size, boolean eventIdx) throws Exception {
        System.out.println("ConcurrentVirtqueueTest " + kind + " " + size + " seed " + seed + " (-Dvublk.seed=)");
        long features = kind.features
                | VirtioFeature.VIRTIO_F_INDIRECT_DESC
                | (eventIdx ? VirtioFeature.VIRTIO_F_EVENT_IDX : 0);
        DriverVirtqueue driver = DriverVirtqueue.of(memory.hostAddress(GUEST), size, features);
        Virtqueue device = Virtqueue.of(new VirtqueueSetup(
                0,
                size,
                driver.base(),
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                features,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                null,
                null,
                null));
        CompletableFuture<Void> ended = CompletableFuture.runAsync(
                () -> {
                    try {
                        serve(device, size);
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                },
                task -> Thread.ofPlatform().daemon().start(task));
        drive(driver, size, ended);
        ended.get(LOST_AFTER_S, TimeUnit.SECONDS);
        memory.close();
    }

    /** The device: answers what it is asked, in any order, and sleeps when there is nothing. */
    private void serve(Virtqueue device, int size) throws InterruptedException {
        Random random = new Random(seed);
        try (Arena arena = Arena.ofConfined()) {
            Deque<DescriptorChain> free = new ArrayDeque<>();
            for (int i = 0; i < size + 1; i++) {
                free.add(new DescriptorChain(arena, 1024));
            }
            List<DescriptorChain> inFlight = new ArrayList<>();
            int done = 0;
            while (done < REQUESTS) {
                int popped = device.pop(free.getFirst());
                assertThat(popped).as(device.brokenReason()).isNotEqualTo(Virtqueue.BROKEN);
                if (popped == Virtqueue.POPPED) {
                    inFlight.add(free.removeFirst());
                    if (random.nextInt(4) != 0) {
                        continue;
                    }
                }
                if (random.nextInt(8) == 0) {
                    device.suppressKicks();
                }
                for (int n = popped == Virtqueue.EMPTY ? inFlight.size() : random.nextInt(inFlight.size() + 1);
                        n > 0;
                        n--) {
                    DescriptorChain chain = inFlight.remove(/* index */ random.nextInt(inFlight.size()));
                    device.pushUsed(chain, answer(chain));
                    free.add(chain);
                    done++;
                }
                if (device.publishUsed()) {
                    calls.release();
                }
                if (popped == Virtqueue.EMPTY && done < REQUESTS && !device.requestKicks()) {
                    await(kicks, "kick");
                }
            }
        }
    }

    /** The number in the first buffer goes into the last, as many bytes as it tells modulo 8. */
    private static int answer(DescriptorChain chain) {
        long number = HostMemory.getLong(chain.buffers().base(0));
        HostMemory.putLong(chain.buffers().base(chain.buffers().count() - 1), ~number);
        return (int) (number % 8);
    }

    /** The driver: keeps several requests in flight, and sleeps when it can do no more. */
    private void drive(DriverVirtqueue driver, int size, CompletableFuture<Void> device) throws Exception {
        Random random = new Random(~seed);
        Deque<Integer> free = new ArrayDeque<>();
        for (int i = 0; i < size; i++) {
            free.add(i);
        }
        int[] slotOfHead = new int[size];
        long[] numberOfSlot = new long[size];
        int added = 0;
        int answered = 0;
        while (answered < REQUESTS) {
            for (int n = random.nextInt(1 + size / 2); n > 0 && added < REQUESTS && !free.isEmpty(); n--) {
                int slot = free.getFirst();
                int head = add(driver, slot, added, random);
                if (head == DriverVirtqueue.NO_HEAD) {
                    break;
                }
                free.removeFirst();
                slotOfHead[head] = slot;
                numberOfSlot[slot] = added++;
            }
            driver.publish();
            if (driver.shouldKick()) {
                kicks.release();
            }
            boolean any = false;
            while (driver.pollUsed()) {
                any = true;
                int slot = slotOfHead[driver.usedId()];
                long number = numberOfSlot[slot];
                assertThat(HostMemory.getLong(slotAddress(slot) + 64)).isEqualTo(~number);
                assertThat(driver.usedBytes()).isEqualTo((int) (number % 8));
                free.addLast(slot);
                answered++;
            }
            if (!any && answered < added) {
                assertThat(device).isNotCompletedExceptionally();
                if (!driver.requestInterrupt()) {
                    await(calls, "interrupt");
                }
                driver.endInterrupt();
            }
        }
    }

    private long slotAddress(int slot) {
        return memory.hostAddress(SLOTS + (long) SLOT_BYTES * slot);
    }

    private int add(DriverVirtqueue driver, int slot, long number, Random random) {
        long guest = SLOTS + (long) SLOT_BYTES * slot;
        HostMemory.putLong(slotAddress(slot), number);
        if (random.nextInt(3) != 0) {
            return driver.add(new long[] {guest, guest + 64}, new int[] {8, 8}, 1, 1);
        }
        driver.putTableEntry(slotAddress(slot) + 128, 2, 0, guest, 8, false);
        driver.putTableEntry(slotAddress(slot) + 128, 2, 1, guest + 64, 8, true);
        return driver.addIndirect(guest + 128, 2);
    }
}
