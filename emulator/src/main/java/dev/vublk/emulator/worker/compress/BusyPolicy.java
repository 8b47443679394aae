// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

/** What becomes of a block when every worker has enough to do. */
public enum BusyPolicy {
    /** It goes out uncompressed and is counted as busy; the submitter never waits. For encoding only. */
    STORE,
    /** The submitter does the work itself; nobody sleeps, and the output is as small as it can be. */
    WAIT
}
