// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import java.util.Arrays;

/** What the fuzzer made up, read from the start: every decision of a target is one of these bytes. Zeroes follow the last. */
final class InputBytes {
    private final byte[] bytes;
    private int at;

    InputBytes(byte[] bytes) {
        this.bytes = bytes;
    }

    boolean isEmpty() {
        return at >= bytes.length;
    }

    int u8() {
        return at < bytes.length ? bytes[at++] & 0xff : 0;
    }

    int u16() {
        return u8() | u8() << 8;
    }

    int i32() {
        return u16() | u16() << 16;
    }

    long i64() {
        return (i32() & 0xffffffffL) | (long) i32() << 32;
    }

    /** One of {@code count} choices. */
    int choice(int count) {
        return u8() % count;
    }

    boolean flag() {
        return (u8() & 1) != 0;
    }

    /** The next {@code count} bytes, or as many as are left. */
    byte[] take(int count) {
        int end = Math.min(bytes.length, at + count);
        byte[] taken = Arrays.copyOfRange(bytes, Math.min(at, end), end);
        at = end;
        return taken;
    }
}
