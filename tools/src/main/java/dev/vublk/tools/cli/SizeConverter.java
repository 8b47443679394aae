// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.math.BigInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** A size in bytes as people type it: {@code 4096}, {@code 4K}, {@code 64MiB}, {@code 10G}; units are powers of 1024. */
public final class SizeConverter implements ITypeConverter<Long> {
    private static final Pattern SIZE = Pattern.compile("(\\d{1,19})([kKMGTPE]?)(iB|B)?");
    private static final String UNITS = "KMGTPE";

    @Override
    public Long convert(String value) {
        return parse(value);
    }

    /** Its bytes; throws a {@link TypeConversionException} when it is none. */
    static long parse(String value) {
        Matcher matcher = SIZE.matcher(value);
        if (!matcher.matches()) {
            throw new TypeConversionException("'" + value + "' is no size such as 512, 4K or 64MiB");
        }
        String unit = matcher.group(2).toUpperCase(java.util.Locale.ROOT);
        int shift = unit.isEmpty() ? 0 : 10 * (UNITS.indexOf(unit) + 1);
        BigInteger bytes = new BigInteger(matcher.group(1)).shiftLeft(shift);
        if (bytes.bitLength() > 63) {
            throw new TypeConversionException("'" + value + "' is larger than any disk");
        }
        return bytes.longValueExact();
    }

    /** A size for people: the largest unit that divides it, or one decimal. */
    static String format(long bytes) {
        if (bytes < 1024) {
            return bytes + " B";
        }
        int unit = (63 - Long.numberOfLeadingZeros(bytes)) / 10;
        double value = (double) bytes / (1L << (10 * unit));
        String number = value == Math.rint(value)
                ? String.valueOf((long) value)
                : String.format(java.util.Locale.ROOT, "%.1f", value);
        return number + " " + UNITS.charAt(unit - 1) + "iB";
    }
}
