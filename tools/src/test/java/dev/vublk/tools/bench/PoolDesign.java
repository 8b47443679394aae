// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

/** Designs of coroutine pools to be compared. */
enum PoolDesign {
    /** A new coroutine for each piece of work. */
    NONE("no pool"),
    /** QEMU until 2021: 64 a thread, 128 shared, the rest is created and dropped. */
    FIXED("fixed 64 + 128"),
    /** QEMU from 2021 on: no limit, given back by each thread for itself once a period. */
    UNBOUNDED("unbounded, resized"),
    /** This project's: a global pool of batches with a limit, two batches a thread, given back once a period. */
    VUBLK("vublk");

    private final String label;

    PoolDesign(String label) {
        this.label = label;
    }

    String label() {
        return label;
    }
}
