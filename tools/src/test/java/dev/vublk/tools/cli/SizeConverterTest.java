// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class SizeConverterTest {
    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "512, 512",
        "512B, 512",
        "4k, 4096",
        "4K, 4096",
        "4KiB, 4096",
        "4KB, 4096",
        "64MiB, 67108864",
        "10G, 10737418240",
        "3T, 3298534883328",
        "2P, 2251799813685248",
        "7E, 8070450532247928832",
        "9223372036854775807, 9223372036854775807",
    })
    void shouldReadSizes(String text, long bytes) {
        assertThat(new SizeConverter().convert(text)).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "K", "-1", "1.5G", "4 K", "4Ki", "4X", "0x200", "4KiBi", "99999999999999999999"})
    void shouldRefuseWhatIsNoSize(String text) {
        assertThatThrownBy(() -> new SizeConverter().convert(text))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage("'" + text + "' is no size such as 512, 4K or 64MiB");
    }

    @ParameterizedTest
    @ValueSource(strings = {"8E", "9223372036854775808", "9999999999999999999E"})
    void shouldRefuseWhatDoesNotFit(String text) {
        assertThatThrownBy(() -> new SizeConverter().convert(text))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage("'" + text + "' is larger than any disk");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0 B",
        "1023, 1023 B",
        "1024, 1 KiB",
        "1536, 1.5 KiB",
        "10485760, 10 MiB",
        "1073741825, 1.0 GiB",
        "9223372036854775807, 8 EiB",
    })
    void shouldWriteSizesForPeople(long bytes, String text) {
        assertThat(SizeConverter.format(bytes)).isEqualTo(text);
    }
}
