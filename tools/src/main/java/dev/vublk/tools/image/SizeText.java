// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.util.Locale;

/** A size for people, with the three digits that QEMU gives. Any thread. */
final class SizeText {
    private static final String UNITS = "KMGTPE";

    private SizeText() {}

    static String of(long bytes) {
        if (bytes < 1024) {
            return bytes + " B";
        }
        int unit = 0;
        double value = bytes / 1024.0;
        while (value >= 1000 && unit < UNITS.length() - 1) {
            value /= 1024;
            unit++;
        }
        String digits = value >= 100 || value == Math.rint(value)
                ? String.format(Locale.ROOT, "%.0f", value)
                : value >= 10 ? String.format(Locale.ROOT, "%.1f", value) : String.format(Locale.ROOT, "%.2f", value);
        if (digits.contains(".")) {
            digits = digits.replaceAll("0+$", "").replaceAll("\\.$", "");
        }
        return digits + " " + UNITS.charAt(unit) + "iB";
    }
}
