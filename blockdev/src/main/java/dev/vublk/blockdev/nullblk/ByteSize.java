// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.nullblk;

import java.util.Locale;

/** A size as people write it: {@code 512}, {@code 64K}, {@code 64MiB}, {@code 1T}; all units are powers of 1024. */
final class ByteSize {
    private ByteSize() {}

    /** The size in bytes, or -1 when the text is none or too large. */
    static long parse(String text) {
        int digits = 0;
        while (digits < text.length() && text.charAt(digits) >= '0' && text.charAt(digits) <= '9') {
            digits++;
        }
        int shift = shift(text.substring(digits).strip().toLowerCase(Locale.ROOT));
        if (digits == 0 || digits > 18 || shift < 0) {
            return -1;
        }
        long value = Long.parseLong(text.substring(0, digits));
        return value > Long.MAX_VALUE >> shift ? -1 : value << shift;
    }

    private static int shift(String unit) {
        return switch (unit) {
            case "", "b" -> 0;
            case "k", "kib" -> 10;
            case "m", "mib" -> 20;
            case "g", "gib" -> 30;
            case "t", "tib" -> 40;
            case "p", "pib" -> 50;
            default -> -1;
        };
    }
}
