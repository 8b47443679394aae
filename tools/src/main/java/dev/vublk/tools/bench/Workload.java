// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

/** What is done to the disk. */
public enum Workload {
    READ(true, false, false),
    WRITE(false, true, false),
    RANDREAD(true, false, true),
    RANDWRITE(false, true, true),
    /** Half of the requests read, half write. */
    RANDRW(true, true, true),
    /** Write everything, then read and check everything. */
    VERIFY(true, true, false),
    /** The same, with random overwriting and reading between the two. */
    RANDVERIFY(true, true, true);

    private final boolean reads;
    private final boolean writes;
    private final boolean random;

    Workload(boolean reads, boolean writes, boolean random) {
        this.reads = reads;
        this.writes = writes;
        this.random = random;
    }

    public boolean reads() {
        return reads;
    }

    public boolean writes() {
        return writes;
    }

    public boolean isRandom() {
        return random;
    }

    public boolean isVerification() {
        return this == VERIFY || this == RANDVERIFY;
    }
}
