// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class EventFdReaderTest {
    @Test
    void shouldCountSignals() {
        try (EventFdReader reader = new EventFdReader(EventFd.create())) {
            assertThat(reader.take()).isZero();
            EventFd.signal(reader.fd());
            EventFd.signal(reader.fd());
            assertThat(reader.await(0)).isEqualTo(1);
            assertThat(reader.take()).isEqualTo(2);
            assertThat(reader.take()).isZero();
        }
    }

    @Test
    void shouldWaitNoLongerThanTold() {
        try (EventFdReader reader = new EventFdReader(EventFd.create())) {
            long timeoutNs = TimeUnit.MICROSECONDS.toNanos(1500);
            long startNs = System.nanoTime();
            assertThat(reader.await(timeoutNs)).isZero();
            assertThat(System.nanoTime() - startNs).isBetween(timeoutNs, TimeUnit.SECONDS.toNanos(10));
        }
    }

    @Test
    void shouldTellABadDescriptor() {
        EventFdReader reader = new EventFdReader(-1);
        assertThat(reader.take()).isEqualTo(-Errno.EBADF);
    }
}
