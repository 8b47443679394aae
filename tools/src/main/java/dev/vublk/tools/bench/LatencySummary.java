// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import org.HdrHistogram.Histogram;

/** What is told of many latencies, in microseconds. */
public record LatencySummary(double mean, double min, double p50, double p90, double p99, double p999, double max) {
    private static final double NS_PER_US = 1000;

    static LatencySummary of(Histogram nanoseconds) {
        if (nanoseconds.getTotalCount() == 0) {
            return new LatencySummary(0, 0, 0, 0, 0, 0, 0);
        }
        return new LatencySummary(
                nanoseconds.getMean() / NS_PER_US,
                nanoseconds.getMinValue() / NS_PER_US,
                nanoseconds.getValueAtPercentile(50) / NS_PER_US,
                nanoseconds.getValueAtPercentile(90) / NS_PER_US,
                nanoseconds.getValueAtPercentile(99) / NS_PER_US,
                nanoseconds.getValueAtPercentile(99.9) / NS_PER_US,
                nanoseconds.getMaxValue() / NS_PER_US);
    }
}
