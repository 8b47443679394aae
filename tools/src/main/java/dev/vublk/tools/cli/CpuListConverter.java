// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.BitSet;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** A list of processors such as {@code 0-3,8}. */
final class CpuListConverter implements ITypeConverter<BitSet> {
    /** As many as the kernel's largest mask in use. */
    private static final int CPUS_MAX = 8192;

    @Override
    public BitSet convert(String value) {
        BitSet cpus = new BitSet();
        for (String range : value.split(",", -1)) {
            if (!range.matches("\\d{1,4}(-\\d{1,4})?")) {
                throw wrong(value);
            }
            int dash = range.indexOf('-');
            int first = Integer.parseInt(dash < 0 ? range : range.substring(0, dash));
            int last = dash < 0 ? first : Integer.parseInt(range.substring(dash + 1));
            if (last < first || last >= CPUS_MAX) {
                throw wrong(value);
            }
            cpus.set(first, last + 1);
        }
        return cpus;
    }

    private static TypeConversionException wrong(String value) {
        return new TypeConversionException("'" + value + "' is no list of processors such as 0-3,8");
    }
}
