// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.memory.TestMemory;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PackedRingBaseTest {
    private static final long GUEST = 0x1_0000_0000L;
    private static final long DATA = GUEST + (1 << 19);
    private static final int SIZE = 4;

    private final TestMemory memory = new TestMemory(GUEST, 1 << 20);
    private final Arena arena = Arena.ofConfined();
    private final PackedDriverVirtqueue driver = new PackedDriverVirtqueue(memory.hostAddress(GUEST), SIZE, false);
    private final DescriptorChain chain = new DescriptorChain(arena, 1024);

    @AfterEach
    void tearDown() {
        arena.close();
        memory.close();
    }

    private Virtqueue newDevice() {
        return Virtqueue.of(new VirtqueueSetup(
                0,
                SIZE,
                PackedRingBase.INITIAL.encode(),
                driver.descAddress(),
                driver.availAddress(),
                driver.usedAddress(),
                VirtioFeature.VIRTIO_F_RING_PACKED,
                -1,
                -1,
                -1,
                false,
                memory.snapshot(),
                null,
                null,
                null));
    }

    private PackedRingBase meantBy(int base) {
        return PackedRingBase.of(base, driver.descAddress(), SIZE);
    }

    private void add(int buffers) {
        long[] addresses = new long[buffers];
        java.util.Arrays.fill(addresses, DATA);
        assertThat(driver.add(addresses, new int[buffers], buffers, 0)).isNotNegative();
        driver.publish();
    }

    private void complete(Virtqueue device, int buffers) {
        add(buffers);
        assertThat(device.pop(chain)).isEqualTo(Virtqueue.POPPED);
        device.pushUsed(chain, 0);
        device.publishUsed();
        assertThat(driver.pollUsed()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({
        "0x80008000, 0, true, 0, true",
        "0x00050003, 3, false, 5, false",
        "0x8005ffff, 32767, true, 5, true",
        "0x7fff8001, 1, true, 32767, false"
    })
    void shouldHaveThePositionsAndCountersInTheirBits(
            String base, int availPosition, boolean availWrap, int usedPosition, boolean usedWrap) {
        PackedRingBase expected = new PackedRingBase(availPosition, availWrap, usedPosition, usedWrap);
        int bits = Integer.parseUnsignedInt(base.substring(2), 16);
        assertThat(PackedRingBase.decode(bits)).isEqualTo(expected);
        assertThat(expected.encode()).isEqualTo(bits);
    }

    @ParameterizedTest
    @CsvSource({
        "0, true, 0, true, true",
        "0, false, 0, true, true", // A whole lap is in flight.
        "3, true, 1, true, true",
        "1, false, 3, true, true",
        "1, true, 3, true, false", // The device is ahead.
        "3, false, 1, true, false", // More than a lap behind.
        "4, true, 0, true, false",
        "0, false, 4, true, false"
    })
    void shouldFitARingOfFour(
            int availPosition, boolean availWrap, int usedPosition, boolean usedWrap, boolean expected) {
        assertThat(new PackedRingBase(availPosition, availWrap, usedPosition, usedWrap).fits(SIZE))
                .isEqualTo(expected);
    }

    /** Linux UML. */
    @Test
    void shouldTakeZeroForTheStartOfANewRing() {
        assertThat(meantBy(0)).isEqualTo(PackedRingBase.INITIAL);
        for (int i = 0; i < SIZE; i++) {
            add(1);
            assertThat(meantBy(0)).isEqualTo(PackedRingBase.INITIAL);
        }
    }

    /** One lap, three, five: with chains of every length, also such as lie across the end of the ring. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void shouldTakeZeroForWhatItSaysInARingThatHasGoneRound(int buffers) {
        Virtqueue device = newDevice();
        int seen = 0;
        for (int slots = 0; slots < 6 * SIZE * buffers; slots += buffers) {
            if (device.base() == 0) {
                seen++;
                assertThat(meantBy(0)).isEqualTo(new PackedRingBase(0, false, 0, false));
                add(1);
                assertThat(meantBy(0))
                        .as("with something available, too")
                        .isEqualTo(new PackedRingBase(0, false, 0, false));
                assertThat(device.pop(chain)).isEqualTo(Virtqueue.POPPED);
                device.pushUsed(chain, 0);
                device.publishUsed();
                assertThat(driver.pollUsed()).isTrue();
                for (int i = 0; i < SIZE - 1; i++) {
                    complete(device, 1); // To the end of the lap again, so that the chains go on as before.
                }
                for (int i = 0; i < SIZE; i++) {
                    complete(device, 1);
                }
            }
            complete(device, buffers);
        }
        assertThat(seen).isPositive();
    }

    /** DPDK's virtio-user. */
    @Test
    void shouldTakeSixteenBitsForBothPositions() {
        assertThat(meantBy(0x8000)).isEqualTo(PackedRingBase.INITIAL);
        assertThat(meantBy(0x0003)).isEqualTo(new PackedRingBase(3, false, 3, false));
        assertThat(meantBy(0x00018003)).isEqualTo(new PackedRingBase(3, true, 1, false));
    }

    @Test
    void shouldTellWhetherARingHasBeenInUse() {
        add(1);
        assertThat(PackedRingBase.INITIAL.isInUse(driver.descAddress(), SIZE))
                .as("the first kick is still to come")
                .isFalse();
        assertThat(new PackedRingBase(0, false, 0, false).isInUse(driver.descAddress(), SIZE))
                .isTrue();
        driver.reset();
        complete(newDevice(), 1);
        assertThat(PackedRingBase.INITIAL.isInUse(driver.descAddress(), SIZE)).isTrue();
    }
}
