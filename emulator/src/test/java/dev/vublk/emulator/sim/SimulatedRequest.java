// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** A request as the simulated guest made it, and what the model knows of it. */
final class SimulatedRequest {
    static final int IN = 0;
    static final int OUT = 1;
    static final int FLUSH = 4;
    static final int GET_ID = 8;
    static final int DISCARD = 11;
    static final int WRITE_ZEROES = 13;

    final int type;
    final int first;
    final int count;
    final List<int[]> ranges;
    final long stamp;

    /** Where it lies in the guest's memory. */
    int arena;

    /** Where the device writes: pairs of address and length, the status last. */
    long[] writableAddresses = {};

    int[] writableLengths = {};

    /** One of its buffers lies behind an address that the guest's IOMMU does not know. */
    boolean isRefused;

    long begunAt;
    long errorsBefore;
    /** Failed syncs before the process was started that was there when the request was made. */
    long syncErrorsBefore;

    DiskModel.@Nullable Version version;
    DiskModel.@Nullable Read read;

    SimulatedRequest(int type, int first, int count, List<int[]> ranges, long stamp) {
        this.type = type;
        this.first = first;
        this.count = count;
        this.ranges = ranges;
        this.stamp = stamp;
    }

    /** What the device may write before the status. */
    int answerBytes() {
        return switch (type) {
            case IN -> count * SectorData.BYTES;
            case GET_ID -> 20;
            default -> 0;
        };
    }

    @Override
    public String toString() {
        String name = switch (type) {
            case IN -> "read";
            case OUT -> "write";
            case FLUSH -> "flush";
            case GET_ID -> "get id";
            case DISCARD -> "discard";
            default -> "write zeroes";
        };
        StringBuilder text = new StringBuilder(name);
        for (int[] range : ranges) {
            text.append(' ').append(range[0]).append('+').append(range[1]);
        }
        return type == OUT ? text.append(" #").append(stamp).toString() : text.toString();
    }
}
