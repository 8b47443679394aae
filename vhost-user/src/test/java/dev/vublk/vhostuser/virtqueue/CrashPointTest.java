// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A device that dies at every point of the in-flight algorithm, again and again on the same ring: what is made available is
 * taken in order, run again only when the driver has not been told, and returned exactly once.
 */
final class CrashPointTest {
    private static final int LIVES = 600;
    private static final int DEATHS_MIN = 25;
    private static final long GUEST = 0x1_0000_0000L;
    private static final long DATA = GUEST + (1 << 16);
    private static final long TABLE = DATA + (1 << 15);
    private static final int TABLE_ENTRIES = 3;

    /** The end of a device, without a page of frames. */
    private static final class Death extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Death() {
            super("died on purpose", null, false, false);
        }
    }

    /** A chain that the driver has made available: which one it was, and what the device is to find. */
    private record Added(int order, long readableBytes, long writableBytes) {}

    /** One ring with its driver, its block and one device after the other. */
    private static final class World implements AutoCloseable {
        private final boolean packed;
        private final int size;
        private final int blockSize;
        private final long features;
        private final Random random;
        private final Arena arena = Arena.ofConfined();
        private final TestMemory memory = new TestMemory(GUEST, 1 << 17);
        private final long ring = memory.hostAddress(GUEST);
        private final DriverVirtqueue driver;
        private final ArrayDeque<DescriptorChain> freeChains = new ArrayDeque<>();
        private final long block;

        /** The driver's chains that have not come back, by head or buffer id. */
        private final Map<Integer, Added> outstanding = new HashMap<>();

        private final Map<InflightPoint, Integer> deaths = new EnumMap<>(InflightPoint.class);
        private int added;
        private int returned;

        private @Nullable InflightPoint deadly;
        private int visitsToDeath;
        /** Which chain this life took last. */
        private int lastTaken;

        private World(boolean packed, long seed) {
            this.packed = packed;
            random = new Random(seed);
            size = packed ? 13 : 16;
            blockSize = size + (packed ? random.nextInt(3) : 0);
            features = VirtioFeature.VIRTIO_F_VERSION_1
                    | VirtioFeature.VIRTIO_F_EVENT_IDX
                    | VirtioFeature.VIRTIO_F_INDIRECT_DESC
                    | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0);
            driver = DriverVirtqueue.of(ring, size, features);
            block = arena.allocate(InflightLayout.strideBytes(blockSize, packed), InflightLayout.BLOCK_ALIGNMENT)
                    .address();
            for (int i = 0; i < 2 * size; i++) {
                freeChains.add(new DescriptorChain(arena, 1024));
            }
            for (int i = 0; i < TABLE_ENTRIES; i++) {
                driver.putTableEntry(memory.hostAddress(TABLE), TABLE_ENTRIES, i, DATA + i, 10 + i, i > 0);
            }
            if (driver instanceof SplitDriverVirtqueue split) {
                int begin = 0x10000 - random.nextInt(1000);
                split.rawAvailIdx(begin);
                HostMemory.putU16(ring + SplitDriverVirtqueue.usedOffset(size) + VirtqueueLayout.USED_IDX, begin);
                split.adopt();
            }
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
                case BLOCK_PREPARED, RECOVERY_BATCH_CLEARED, RECOVERY_LIST_RESTORED, RECOVERY_COMMITTED ->
                    0; // At most once a life.
                case RECOVERY_ENTRY_CLEARED, RECOVERY_SLOT_CLEANED -> random.nextInt(3);
                default -> random.nextInt(20);
            };
        }

        /** One device from its start to its death, or to the end of all work. */
        private void live() {
            List<DescriptorChain> inFlight = new ArrayList<>();
            lastTaken = -1;
            boolean inBatches = random.nextInt(3) == 0;
            try {
                Virtqueue device = newDevice();
                for (int step = 0; step < 200; step++) {
                    switch (random.nextInt(4)) {
                        case 0 -> drive(inBatches);
                        case 1 -> take(device, inFlight);
                        case 2 -> complete(device, inFlight);
                        default -> publish(device, inFlight, inBatches);
                    }
                }
                while (take(device, inFlight)) {
                    complete(device, inFlight);
                }
                completeAll(device, inFlight);
                device.publishUsed();
            } catch (Death e) {
                assertThat(deadly).isNotNull();
            }
            freeChains.addAll(inFlight);
        }

        /** In batches as large as can be: once round a ring. */
        private void publish(Virtqueue device, List<DescriptorChain> inFlight, boolean inBatches) {
            if (inBatches) {
                if (random.nextInt(4) > 0) {
                    return;
                }
                while (take(device, inFlight)) {} // All there is.
                completeAll(device, inFlight);
            }
            device.publishUsed();
        }

        private Virtqueue newDevice() {
            InflightBlock tracked = new InflightBlock(block, blockSize, false, this::reached);
            Virtqueue device = Virtqueue.of(new VirtqueueSetup(
                    0,
                    size,
                    base(tracked.isInUse()),
                    driver.descAddress(),
                    driver.availAddress(),
                    driver.usedAddress(),
                    features,
                    -1,
                    -1,
                    -1,
                    true,
                    memory.snapshot(),
                    tracked,
                    null,
                    null));
            assertThat(device.brokenReason()).isEmpty();
            return device;
        }

        /** Whatever the front end says; but where a packed ring begins, only it knows. */
        private int base(boolean inUse) {
            if (!packed) {
                return random.nextInt(0x10000);
            }
            int position = inUse ? random.nextInt(size) : 0;
            boolean wrap = !inUse || random.nextBoolean();
            return new PackedRingBase(position, wrap, position, wrap).encode();
        }

        /** The driver takes what came back and adds more. */
        private void drive(boolean fillsUp) {
            takeReturned();
            for (int i = fillsUp ? size : random.nextInt(size); i > 0; i--) {
                addChain();
            }
            driver.publish();
        }

        private void addChain() {
            if (random.nextInt(3) == 0) {
                int head = driver.addIndirect(TABLE, TABLE_ENTRIES);
                if (head != DriverVirtqueue.NO_HEAD) {
                    outstanding.put(head, new Added(added++, 10, 23));
                }
                return;
            }
            int writable = random.nextInt(1, 3);
            int readableBytes = random.nextInt(1, 1000);
            int head = driver.add(
                    new long[] {DATA, DATA + 1024, DATA + 2048}, new int[] {readableBytes, 8, 8}, 1, writable);
            if (head != DriverVirtqueue.NO_HEAD) {
                outstanding.put(head, new Added(added++, readableBytes, 8L * writable));
            }
        }

        private void takeReturned() {
            while (driver.pollUsed()) { // Throws when a chain comes back twice.
                assertThat(outstanding.remove(driver.usedId())).isNotNull();
                assertThat(driver.usedBytes()).isEqualTo(8);
                returned++;
            }
        }

        /** The device takes a chain, if there is one. */
        private boolean take(Virtqueue device, List<DescriptorChain> inFlight) {
            DescriptorChain chain = freeChains.getFirst();
            int popped = device.pop(chain);
            assertThat(popped).as(device::brokenReason).isNotEqualTo(Virtqueue.BROKEN);
            if (popped == Virtqueue.EMPTY) {
                return false;
            }
            takeReturned();
            assertThat(outstanding)
                    .as("no chain that was returned is run again")
                    .containsKey(chain.headIndex());
            Added taken = Objects.requireNonNull(outstanding.get(chain.headIndex()));
            assertThat(taken.order).as("order in which chains are taken").isGreaterThan(lastTaken);
            assertThat(chain.readableBytes()).isEqualTo(taken.readableBytes);
            assertThat(chain.writableBytes()).isEqualTo(taken.writableBytes);
            lastTaken = taken.order;
            inFlight.add(freeChains.removeFirst());
            return true;
        }

        private void complete(Virtqueue device, List<DescriptorChain> inFlight) {
            if (!inFlight.isEmpty()) {
                DescriptorChain done = inFlight.remove(random.nextInt(inFlight.size()));
                freeChains.add(done);
                device.pushUsed(done, 8);
            }
        }

        private void completeAll(Virtqueue device, List<DescriptorChain> inFlight) {
            while (!inFlight.isEmpty()) {
                complete(device, inFlight);
            }
        }

        @Override
        public void close() {
            arena.close();
            memory.close();
        }
    }

    static Stream<Arguments> pointsOfBothKinds() {
        return Stream.of(InflightPoint.values())
                .flatMap(point -> point.isPackedOnly()
                        ? Stream.of(Arguments.of("packed", point))
                        : Stream.of(Arguments.of("split", point), Arguments.of("packed", point)));
    }

    /** A death that leaves something to recover, so that a death in a recovery has one to die in. */
    private static InflightPoint deathBefore(InflightPoint point) {
        return point == InflightPoint.RECOVERY_SLOT_CLEANED ? InflightPoint.BATCH_LINKED : InflightPoint.PUBLISHED;
    }

    @ParameterizedTest
    @MethodSource("pointsOfBothKinds")
    void shouldLoseAndDoubleNothingWhereverItDies(String kind, InflightPoint point) {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("CrashPointTest " + kind + " " + point + " seed " + seed);
        boolean packed = kind.equals("packed");
        try (World world = new World(packed, seed)) {
            List<InflightPoint> points = Stream.of(InflightPoint.values())
                    .filter(each -> packed || !each.isPackedOnly())
                    .toList();
            for (int life = 0; life < LIVES; life++) {
                switch (life == 0 ? 5 : world.random.nextInt(6)) {
                    case 0 -> world.dieAt(points.get(world.random.nextInt(points.size())));
                    case 1, 2 -> world.dieAt(deathBefore(point));
                    default -> world.dieAt(point);
                }
                world.live();
            }
            world.deadly = null;
            world.live();
            world.takeReturned();

            assertThat(world.outstanding).as("chains that were lost").isEmpty();
            assertThat(world.returned).isEqualTo(world.added);
            assertThat(world.driver.freeCount()).isEqualTo(world.size);
            // A block is prepared once.
            assertThat(world.deaths.get(point))
                    .as("deaths at this point")
                    .isGreaterThanOrEqualTo(point == InflightPoint.BLOCK_PREPARED ? 1 : DEATHS_MIN);
        }
    }
}
