// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import java.util.Set;

/**
 * Which calls fail.
 *
 * @param calls of these kinds
 * @param name of files whose name contains this; what is written under a temporary name has the final one in it
 * @param from of reads and writes: those that touch a byte from here on
 * @param to and before this
 * @param skipped so many that match succeed first
 * @param failing so many fail then
 * @param errno what they fail with
 */
public record FaultRule(Set<FileCall> calls, String name, long from, long to, int skipped, int failing, int errno) {
    private static final int EIO = 5;

    /** Calls of these kinds to any file fail with EIO, always. */
    public static FaultRule of(FileCall... calls) {
        return new FaultRule(Set.of(calls), "", 0, Long.MAX_VALUE, 0, Integer.MAX_VALUE, EIO);
    }

    /** The same, only on that file. */
    public FaultRule on(String file) {
        return new FaultRule(calls, file, from, to, skipped, failing, errno);
    }

    /** The same, only where one of these bytes is touched. */
    public FaultRule at(long fromBytes, long toBytes) {
        return new FaultRule(calls, name, fromBytes, toBytes, skipped, failing, errno);
    }

    /** The same, but the first {@code count} succeed. */
    public FaultRule after(int count) {
        return new FaultRule(calls, name, from, to, count, failing, errno);
    }

    /** The same, but only so many fail. */
    public FaultRule times(int count) {
        return new FaultRule(calls, name, from, to, skipped, count, errno);
    }

    boolean matches(FileCall call, String file, long offsetBytes, long lengthBytes) {
        return calls.contains(call) && file.contains(name) && offsetBytes < to && offsetBytes + lengthBytes > from;
    }
}
