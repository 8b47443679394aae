// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A device that dies at every point of the in-flight algorithm, again and again on the same ring: what is made available is
 * taken in order, run again only when the driver has not been told, and returned exactly once.
 */
final class CrashPointTest {
    private static final int LIVES = 600;
    private static final int DEATHS_MIN = 50;
    private static final int SIZE = 16;
    private static final long GUEST = 0x1_0000_0000L;
    private static final long DATA = GUEST + (1 << 16);

    /** The end of a device, without a page of frames. */
    private static final class Death extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Death() {
            super("died on purpose", null, false, false);
        }
    }

    /** One ring with its driver, its block and one device after the other. */
    private static final class World implements AutoCloseable {
        private final Random random;
        private final Arena arena = Arena.ofConfined();
        private final TestMemory memory = new TestMemory(GUEST, 1 << 17);
        private final long ring = memory.hostAddress(GUEST);
        private final SplitDriverVirtqueue driver = new SplitDriverVirtqueue(ring, SIZE, true);
        private final DescriptorChain chain = new DescriptorChain(arena, 1024);
        private final long block = arena.allocate(InflightLayout.strideBytes(SIZE), InflightLayout.BLOCK_ALIGNMENT)
                .address();

        /** The driver's chains that have not come back: head to the order in which they were made available. */
        private final Map<Integer, Integer> outstanding = new HashMap<>();

        private final Map<InflightPoint, Integer> deaths = new EnumMap<>(InflightPoint.class);
        private int added;
        private int returned;

        private @Nullable InflightPoint deadly;
        private int visitsToDeath;
        /** Which chain this life took last. */
        private int lastTaken;

        private World(long seed) {
            this.random = new Random(seed);
            int begin = 0x10000 - random.nextInt(1000);
            driver.rawAvailIdx(begin);
            HostMemory.putU16(ring + SplitDriverVirtqueue.usedOffset(SIZE) + VirtqueueLayout.USED_IDX, begin);
            driver.adopt();
        }

        private void reached(InflightPoint point) {
            if (point == deadly && visitsToDeath-- == 0) {
                deaths.merge(point, 1, Integer::sum);
                throw new Death();
            }
        }

        private void dieAt(InflightPoint point) {
            deadly = point;
            visitsToDeath = switch (point) {
                case BLOCK_PREPARED, RECOVERY_BATCH_CLEARED, RECOVERY_COMMITTED -> 0; // At most once a life.
                case RECOVERY_ENTRY_CLEARED -> random.nextInt(3);
                default -> random.nextInt(20);
            };
        }

        /** One device from its start to its death, or to the end of all work. */
        private void live() {
            List<Integer> inFlight = new ArrayList<>();
            lastTaken = -1;
            try {
                SplitVirtqueue device = newDevice();
                for (int step = 0; step < 200; step++) {
                    switch (random.nextInt(4)) {
                        case 0 -> drive();
                        case 1 -> take(device, inFlight);
                        case 2 -> complete(device, inFlight);
                        default -> device.publishUsed();
                    }
                }
                while (take(device, inFlight)) {
                    complete(device, inFlight);
                }
                while (!inFlight.isEmpty()) {
                    complete(device, inFlight);
                }
                device.publishUsed();
            } catch (Death e) {
                assertThat(deadly).isNotNull();
            }
        }

        private SplitVirtqueue newDevice() {
            SplitVirtqueue device = new SplitVirtqueue(new VirtqueueSetup(
                    0,
                    SIZE,
                    random.nextInt(0x10000), // Whatever the front end says.
                    ring,
                    ring + SplitDriverVirtqueue.availOffset(SIZE),
                    ring + SplitDriverVirtqueue.usedOffset(SIZE),
                    VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VIRTIO_F_EVENT_IDX,
                    -1,
                    -1,
                    -1,
                    true,
                    memory.snapshot(),
                    new InflightBlock(block, SIZE, this::reached)));
            assertThat(device.brokenReason()).isEmpty();
            return device;
        }

        /** The driver takes what came back and adds more. */
        private void drive() {
            takeReturned();
            for (int i = random.nextInt(SIZE); i > 0; i--) {
                int head = driver.add(new long[] {DATA, DATA + 64}, new int[] {16, 8}, 1, 1);
                if (head != SplitDriverVirtqueue.NO_HEAD) {
                    outstanding.put(head, added++);
                }
            }
            driver.publish();
        }

        private void takeReturned() {
            while (driver.pollUsed()) { // Throws when a chain comes back twice.
                assertThat(outstanding.remove(driver.usedId())).isNotNull();
                assertThat(driver.usedBytes()).isEqualTo(8);
                returned++;
            }
        }

        /** The device takes a chain, if there is one. */
        private boolean take(SplitVirtqueue device, List<Integer> inFlight) {
            int popped = device.pop(chain);
            assertThat(popped).as(device::brokenReason).isNotEqualTo(Virtqueue.BROKEN);
            if (popped == Virtqueue.EMPTY) {
                return false;
            }
            takeReturned();
            int order = outstanding.getOrDefault(chain.headIndex(), -1);
            assertThat(order).as("a chain that was returned is run again").isNotNegative();
            assertThat(order).as("order in which chains are taken").isGreaterThan(lastTaken);
            lastTaken = order;
            inFlight.add(chain.headIndex());
            return true;
        }

        private void complete(SplitVirtqueue device, List<Integer> inFlight) {
            if (!inFlight.isEmpty()) {
                device.pushUsed(inFlight.remove(/* index */ random.nextInt(inFlight.size())), 8);
            }
        }

        @Override
        public void close() {
            arena.close();
            memory.close();
        }
    }

    @ParameterizedTest
    @EnumSource(InflightPoint.class)
    void shouldLoseAndDoubleNothingWhereverItDies(InflightPoint point) {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("CrashPointTest " + point + " seed " + seed);
        try (World world = new World(seed)) {
            InflightPoint[] points = InflightPoint.values();
            for (int life = 0; life < LIVES; life++) {
                switch (life == 0 ? 5 : world.random.nextInt(6)) {
                    case 0 -> world.dieAt(points[world.random.nextInt(points.length)]);
                    case 1 -> world.dieAt(InflightPoint.PUBLISHED); // Without it no recovery has a batch to clear.
                    default -> world.dieAt(point);
                }
                world.live();
            }
            world.deadly = null;
            world.live();
            world.takeReturned();

            assertThat(world.outstanding).as("chains that were lost").isEmpty();
            assertThat(world.returned).isEqualTo(world.added);
            assertThat(world.driver.freeCount()).isEqualTo(SIZE);
            // A block is prepared once.
            assertThat(world.deaths.get(point))
                    .as("deaths at this point")
                    .isGreaterThanOrEqualTo(point == InflightPoint.BLOCK_PREPARED ? 1 : DEATHS_MIN);
        }
    }
}
