// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.VirtqueueLayout;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SplitDriverVirtqueueTest {
    private static final int SIZE = 4;
    private static final long[] ADDRESSES = {0x1000, 0x2000};
    private static final int[] LENGTHS = {16, 1};

    private final Arena arena = Arena.ofShared();
    private long address;
    private SplitDriverVirtqueue ring;

    @BeforeEach
    void layOut() {
        address = arena.allocate(SplitDriverVirtqueue.ringBytes(SIZE), 16).address();
        ring = new SplitDriverVirtqueue(address, SIZE, true);
    }

    @AfterEach
    void free() {
        arena.close();
    }

    /** What a device does: returns a chain. */
    private void returnChain(int position, int head) {
        long used = address + SplitDriverVirtqueue.usedOffset(SIZE);
        HostMemory.putLong(
                used + VirtqueueLayout.USED_RING + (long) VirtqueueLayout.USED_ELEM_BYTES * (position % SIZE), head);
        HostMemory.putU16Release(used + VirtqueueLayout.USED_IDX, position + 1);
    }

    private int availableAt(int position) {
        return HostMemory.getU16(
                address + SplitDriverVirtqueue.availOffset(SIZE) + VirtqueueLayout.AVAIL_RING + 2L * (position % SIZE));
    }

    @Test
    void shouldAddAPreparedChainAgainAndAgain() {
        int head = ring.prepare(ADDRESSES, LENGTHS, 1, 1);
        assertThat(ring.freeCount()).isEqualTo(SIZE - 2);
        for (int i = 0; i < 3 * SIZE; i++) {
            ring.addPrepared(head);
            ring.publish();
            assertThat(availableAt(i)).isEqualTo(head);
            returnChain(i, head);
            assertThat(ring.countUsed()).isEqualTo(1);
            ring.takeUsed();
            assertThat(ring.usedId()).isEqualTo(head);
        }
        assertThat(ring.freeCount()).isEqualTo(SIZE - 2);
    }

    @Test
    void shouldUsePreparedAndOrdinaryChainsSideBySide() {
        int prepared = ring.prepareIndirect(0x3000, 5);
        int ordinary = ring.add(ADDRESSES, LENGTHS, 1, 1);
        ring.addPrepared(prepared);
        ring.publish();
        returnChain(0, ordinary);
        assertThat(ring.pollUsed()).isTrue();
        returnChain(1, prepared);
        assertThat(ring.pollUsed()).isTrue();
        assertThat(ring.pollUsed()).isFalse();
        assertThat(ring.freeCount()).isEqualTo(SIZE - 1);
    }

    @Test
    void shouldRefuseToAddWhatIsInFlightOrWasNeverPrepared() {
        int head = ring.prepare(ADDRESSES, LENGTHS, 1, 1);
        ring.addPrepared(head);
        assertThatThrownBy(() -> ring.addPrepared(head)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> ring.addPrepared(SIZE - 1)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void shouldNoticeAPreparedChainReturnedTwice() {
        int head = ring.prepare(ADDRESSES, LENGTHS, 1, 1);
        ring.addPrepared(head);
        ring.publish();
        returnChain(0, head);
        returnChain(1, head);
        ring.takeUsed();
        assertThatThrownBy(ring::takeUsed)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("not in flight");
    }

    @Test
    void shouldHaveNoRoomForMoreThanItsSize() {
        assertThat(ring.prepare(ADDRESSES, LENGTHS, 1, 1)).isNotEqualTo(SplitDriverVirtqueue.NO_HEAD);
        assertThat(ring.prepare(ADDRESSES, LENGTHS, 1, 1)).isNotEqualTo(SplitDriverVirtqueue.NO_HEAD);
        assertThat(ring.prepareIndirect(0x3000, 1)).isEqualTo(SplitDriverVirtqueue.NO_HEAD);
        assertThat(ring.prepare(ADDRESSES, LENGTHS, 1, 1)).isEqualTo(SplitDriverVirtqueue.NO_HEAD);
    }
}
