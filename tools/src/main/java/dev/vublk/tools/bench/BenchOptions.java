// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.Objects;

/**
 * One run of the load generator, checked as far as it can be without the disk.
 *
 * @param socket the back end's socket file
 * @param blockBytes bytes of each request, a multiple of 512
 * @param ioDepth requests in flight on each active queue
 * @param queues active queues
 * @param threads client threads; active queue i belongs to thread i mod threads
 * @param timeNs how long is measured
 * @param warmupNs how long load is given before that
 * @param ratePerSecond requests begun per second over all queues, or 0: as many as go
 * @param event whether the client sleeps until it is interrupted, rather than look at the rings all the time
 * @param indirect whether requests are indirect tables
 * @param packed whether rings are packed
 * @param idleQueues whether the other queues that the back end offers are set up as well, as a guest does
 * @param queueSize ring size, or 0: what the depth needs, and at least 128
 * @param offsetBytes where the part of the disk that is used begins
 * @param sizeBytes its length, or 0: to the end of the disk
 * @param seed of everything random
 * @param backendPid process whose CPU time and sleeps are told as well, or 0
 */
public record BenchOptions(
        String socket,
        Workload workload,
        int blockBytes,
        int ioDepth,
        int queues,
        int threads,
        long timeNs,
        long warmupNs,
        double ratePerSecond,
        boolean event,
        boolean indirect,
        boolean packed,
        boolean idleQueues,
        int queueSize,
        long offsetBytes,
        long sizeBytes,
        long seed,
        long backendPid) {

    /** One request must fit in memory many times; arbitrary, far above what guests send. */
    private static final int BLOCK_BYTES_MAX = 16 << 20;

    public BenchOptions {
        Objects.requireNonNull(socket, "socket");
        Objects.requireNonNull(workload, "workload");
        check(
                blockBytes >= BlkSpec.SECTOR_BYTES && blockBytes <= BLOCK_BYTES_MAX,
                "--bs",
                blockBytes,
                "is not from 512 to 16M");
        check(blockBytes % BlkSpec.SECTOR_BYTES == 0, "--bs", blockBytes, "is not a multiple of 512");
        check(ioDepth >= 1 && ioDepth <= 32768, "--iodepth", ioDepth, "is not from 1 to 32768");
        check(queues >= 1 && queues <= 65535, "--queues", queues, "is not from 1 to 65535");
        check(
                threads >= 1 && threads <= queues,
                "--threads",
                threads,
                "is not from 1 to the number of queues, " + queues);
        check(timeNs > 0, "--time", timeNs / Builder.NS_PER_S, "must be more than nothing");
        check(warmupNs >= 0, "--warmup", warmupNs / Builder.NS_PER_S, "must not be negative");
        check(ratePerSecond >= 0 && ratePerSecond <= 1e9, "--rate", ratePerSecond, "is not from 0 to 10^9");
        check(
                queueSize == 0
                        || ((packed || Integer.bitCount(queueSize) == 1) && queueSize >= 2 && queueSize <= 32768),
                "--queue-size",
                queueSize,
                packed ? "is not from 2 to 32768" : "is no power of two from 2 to 32768");
        check(offsetBytes >= 0 && offsetBytes % blockBytes == 0, "--offset", offsetBytes, "is not a multiple of --bs");
        check(sizeBytes >= 0 && sizeBytes % blockBytes == 0, "--size", sizeBytes, "is not a multiple of --bs");
        check(backendPid >= 0, "--backend-pid", backendPid, "is no process id");
        if (workload.isVerification()) {
            check(ratePerSecond == 0, "--rate", ratePerSecond, "has no meaning for a verification");
            check(threads == 1, "--threads", threads, "must be 1 for a verification");
        }
    }

    private static void check(boolean right, String option, Object value, String reason) {
        if (!right) {
            throw new IllegalArgumentException(option + " " + value + " " + reason);
        }
    }

    /** What the command line's defaults are. */
    public static Builder builder(String socket) {
        return new Builder(socket);
    }

    /** Collects options; each method is the option of that name. */
    public static final class Builder {
        private static final double NS_PER_S = 1e9;

        private final String socket;
        private Workload workload = Workload.RANDREAD;
        private long blockBytes = 4096;
        private int ioDepth = 1;
        private int queues = 1;
        private int threads = 1;
        private double timeSeconds = 5;
        private double warmupSeconds = 1;
        private double ratePerSecond;
        private boolean event;
        private boolean indirect;
        private boolean packed;
        private boolean idleQueues = true;
        private int queueSize;
        private long offsetBytes;
        private long sizeBytes;
        private long seed = 1;
        private long backendPid;

        private Builder(String socket) {
            this.socket = socket;
        }

        public Builder workload(Workload value) {
            workload = value;
            return this;
        }

        public Builder blockBytes(long value) {
            blockBytes = value;
            return this;
        }

        public Builder ioDepth(int value) {
            ioDepth = value;
            return this;
        }

        public Builder queues(int value) {
            queues = value;
            return this;
        }

        public Builder threads(int value) {
            threads = value;
            return this;
        }

        public Builder timeSeconds(double value) {
            timeSeconds = value;
            return this;
        }

        public Builder warmupSeconds(double value) {
            warmupSeconds = value;
            return this;
        }

        public Builder ratePerSecond(double value) {
            ratePerSecond = value;
            return this;
        }

        public Builder event(boolean value) {
            event = value;
            return this;
        }

        public Builder indirect(boolean value) {
            indirect = value;
            return this;
        }

        public Builder packed(boolean value) {
            packed = value;
            return this;
        }

        public Builder idleQueues(boolean value) {
            idleQueues = value;
            return this;
        }

        public Builder queueSize(int value) {
            queueSize = value;
            return this;
        }

        public Builder range(long newOffsetBytes, long newSizeBytes) {
            offsetBytes = newOffsetBytes;
            sizeBytes = newSizeBytes;
            return this;
        }

        public Builder seed(long value) {
            seed = value;
            return this;
        }

        public Builder backendPid(long value) {
            backendPid = value;
            return this;
        }

        /** Throws {@link IllegalArgumentException} with a line that names the option. */
        public BenchOptions build() {
            return new BenchOptions(
                    socket,
                    workload,
                    (int) Math.min(blockBytes, Integer.MAX_VALUE),
                    ioDepth,
                    queues,
                    threads,
                    (long) (timeSeconds * NS_PER_S),
                    (long) (warmupSeconds * NS_PER_S),
                    ratePerSecond,
                    event,
                    indirect,
                    packed,
                    idleQueues,
                    queueSize,
                    offsetBytes,
                    sizeBytes,
                    seed,
                    backendPid);
        }
    }
}
