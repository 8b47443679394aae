// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/**
 * How long a loop looks for work in user space before it sleeps; names and meaning as in QEMU's {@code iothread} object.
 *
 * @param maxNs longest time, 0 for no polling at all
 * @param grow factor when polling a little longer would have found the work; 0 means 2
 * @param shrink divisor when it would not have; 0 means: stop polling at once
 * @param idleNs how long a queue that has nothing to do is still looked at; then its descriptor alone is watched
 */
public record PollSettings(long maxNs, int grow, int shrink, long idleNs) {
    /** QEMU's: 32 us in an IOThread, and 7 s until a handler counts as idle. */
    public static final PollSettings DEFAULT = new PollSettings(32_768, 0, 0, 7_000_000_000L);

    /** No polling. */
    public static final PollSettings OFF = new PollSettings(0, 0, 0, 7_000_000_000L);
}
