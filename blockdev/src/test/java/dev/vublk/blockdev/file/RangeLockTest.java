// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.PlainLoop;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

final class RangeLockTest {
    private final RangeLock lock = new RangeLock();
    private final PlainLoop loop = PlainLoop.withoutRing();
    private final LoopQueue queue = new LoopQueue(loop);

    private RangeLock.Range acquire(PlainLoop loop, LoopQueue queue, long start, long end, boolean exclusive) {
        AtomicReference<RangeLock.Range> range = new AtomicReference<>();
        loop.run(() -> {
            range.set(lock.acquire(queue, start, end, exclusive));
            return 0;
        });
        return range.get();
    }

    @Test
    void shouldGrantWhatDoesNotConflict() {
        RangeLock.Range shared = acquire(loop, queue, 0, 4096, false);
        RangeLock.Range alsoShared = acquire(loop, queue, 0, 8192, false);
        RangeLock.Range besides = acquire(loop, queue, 8192, 12288, true);
        lock.release(alsoShared);
        lock.release(shared);
        lock.release(besides);
        assertThat(lock.isEmpty()).isTrue();
    }

    @Test
    void shouldGrantConflictingRangesInOrderOfArrivalAcrossLoops() throws Exception {
        PlainLoop otherLoop = PlainLoop.withoutRing();
        LoopQueue otherQueue = new LoopQueue(otherLoop);
        List<String> order = new CopyOnWriteArrayList<>();
        try (Crew crew = new Crew()) {
            RangeLock.Range held = acquire(loop, queue, 0, 8192, true);
            Future<RangeLock.Range> exclusive = crew.start(() -> {
                RangeLock.Range range = acquire(otherLoop, otherQueue, 4096, 12288, true);
                order.add("exclusive");
                return range;
            });
            otherLoop.awaitWaiter();
            // Overlaps only the one that waits: it must not overtake it.
            Future<RangeLock.Range> shared = crew.start(() -> {
                RangeLock.Range range = acquire(loop, queue, 8192, 12288, false);
                order.add("shared");
                return range;
            });
            loop.awaitWaiter();
            assertThat(order).isEmpty();

            order.add("release");
            lock.release(held);
            RangeLock.Range second = Crew.result(exclusive);
            assertThat(order).containsExactly("release", "exclusive");
            order.add("release");
            lock.release(second);
            lock.release(Crew.result(shared));
            assertThat(order).containsExactly("release", "exclusive", "release", "shared");
            assertThat(lock.isEmpty()).isTrue();
        }
    }
}
