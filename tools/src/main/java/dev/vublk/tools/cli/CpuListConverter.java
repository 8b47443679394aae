// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.emulator.linux.CpuAffinity;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** A list of processors such as {@code 0-3,8}. */
final class CpuListConverter implements ITypeConverter<CpuAffinity> {
    @Override
    public CpuAffinity convert(String value) {
        try {
            return CpuAffinity.parse(value);
        } catch (IllegalArgumentException e) {
            throw new TypeConversionException("'" + value + "' is no list of processors such as 0-3,8");
        }
    }
}
