// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * What happens at an {@link InflightPoint}: nothing ({@link #NONE}), or in a test the end, by an exception after which
 * the queue touches neither ring nor region. Runs on the queue's IOThread, in a recovery on the control loop.
 */
@FunctionalInterface
public interface InflightFaults {
    /** What production has, and the compiler removes. */
    InflightFaults NONE = point -> {};

    /** The queue has come to that point. */
    void reached(InflightPoint point);
}
