// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.PlainLoop;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class RequestEpochsTest {
    @Test
    void shouldWaitForRequestsThatBeganBefore() throws Exception {
        RequestEpochs epochs = new RequestEpochs();
        RequestEpochs.Counter counter = epochs.newCounter();
        PlainLoop loop = PlainLoop.withoutRing();
        LoopQueue queue = new LoopQueue(loop);
        long begun = counter.enter();
        long unlinkedIn = epochs.now();
        try (Crew crew = new Crew()) {
            Future<Integer> waiter = crew.start(() -> loop.run(() -> {
                epochs.awaitOver(unlinkedIn, queue);
                return 1;
            }));
            loop.awaitWaiter();
            assertThat(epochs.isOver(unlinkedIn)).isFalse();

            counter.exit(begun);

            assertThat(Crew.result(waiter)).isOne();
            assertThat(epochs.isOver(unlinkedIn)).isTrue();
        }
    }

    /** Or who waits would wait for as long as there is any load. */
    @Test
    void shouldNotWaitForRequestsThatBeganAfterwards() throws Exception {
        RequestEpochs epochs = new RequestEpochs();
        RequestEpochs.Counter counter = epochs.newCounter();
        PlainLoop loop = PlainLoop.withoutRing();
        LoopQueue queue = new LoopQueue(loop);
        long unlinkedIn = epochs.now();
        long first = counter.enter();
        assertThat(epochs.isOver(unlinkedIn)).isFalse();
        long second = counter.enter();
        try (Crew crew = new Crew()) {
            Future<Integer> waiter = crew.start(() -> loop.run(() -> {
                epochs.awaitOver(unlinkedIn, queue);
                return 1;
            }));
            loop.awaitWaiter();

            counter.exit(first);

            assertThat(Crew.result(waiter)).isOne();
            counter.exit(second);
        }
    }
}
