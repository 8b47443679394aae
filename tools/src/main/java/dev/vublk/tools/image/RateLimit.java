// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.util.concurrent.locks.LockSupport;

/** Bounds how many bytes a second are copied, over all threads. Any thread. */
final class RateLimit {
    /** What may be caught up on after a pause: a tenth of a second's worth. Arbitrary. */
    private static final long SLACK_NS = 100_000_000;

    private final long bytesPerSecond;

    /** When all bytes so far would have been copied at just that rate; guarded by this. */
    private long paidUntilNs = System.nanoTime();

    /** @param bytesPerSecond 0 for no limit */
    RateLimit(long bytesPerSecond) {
        this.bytesPerSecond = bytesPerSecond;
    }

    /** Waits until so many more bytes may be copied. */
    void await(long bytes) {
        if (bytesPerSecond == 0 || bytes == 0) {
            return;
        }
        long until = book(bytes);
        long left = until - System.nanoTime();
        while (left > 0) {
            LockSupport.parkNanos(this, left);
            left = until - System.nanoTime();
        }
    }

    private synchronized long book(long bytes) {
        long earliest = System.nanoTime() - SLACK_NS;
        if (paidUntilNs - earliest < 0) {
            paidUntilNs = earliest;
        }
        paidUntilNs += (long) (bytes * 1e9 / bytesPerSecond);
        return paidUntilNs;
    }
}
