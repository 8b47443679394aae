// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.emulator.linux.CpuAffinity;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class CpuListConverterTest {
    @Test
    void shouldReadRangesAndSingleProcessors() {
        assertThat(new CpuListConverter().convert("0-3,8")).isEqualTo(CpuAffinity.of(0, 1, 2, 3, 8));
        assertThat(new CpuListConverter().convert("5")).isEqualTo(CpuAffinity.of(5));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "x", "3-1", "1-2-3", "-1", "1,,2", "8192"})
    void shouldRefuseEverythingElse(String text) {
        assertThatThrownBy(() -> new CpuListConverter().convert(text))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage("'" + text + "' is no list of processors such as 0-3,8");
    }
}
