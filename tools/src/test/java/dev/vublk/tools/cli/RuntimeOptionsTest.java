// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.linux.CpuAffinity;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.TypeConversionException;

class RuntimeOptionsTest {
    private static EmulatorConfig configure(String options) {
        RuntimeOptions runtime = new RuntimeOptions();
        new CommandLine(CommandSpec.forAnnotatedObject(runtime))
                .parseArgs(options.isEmpty() ? new String[0] : options.split(" ", -1));
        return runtime.configure(List.of());
    }

    @Test
    void shouldTakeDefaults() {
        assertThat(configure("")).isEqualTo(new EmulatorConfig(List.of(), 1, List.of(), 0, 64));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 1024})
    void shouldTakeIOThreads(int count) {
        assertThat(configure("--iothreads " + count).ioThreads()).isEqualTo(count);
    }

    @Test
    void shouldTakeAsManyWorkersAtLeastAsAtMost() {
        EmulatorConfig config = configure("--worker-threads-min 4096 --worker-threads-max 4096");
        assertThat(config.workerThreadsMin()).isEqualTo(4096);
        assertThat(config.workerThreadsMax()).isEqualTo(4096);
    }

    @ParameterizedTest
    @CsvSource({
        "--iothreads 0, --iothreads: 0 is not from 1 to 1024",
        "--iothreads -1, --iothreads: -1 is not from 1 to 1024",
        "--iothreads 1025, --iothreads: 1025 is not from 1 to 1024",
        "--worker-threads-max 4097, --worker-threads-max: 4097 is not from 1 to 4096",
        "--worker-threads-min -1, --worker-threads-min: -1 is not from 0 to --worker-threads-max 64",
        "--worker-threads-min 65, --worker-threads-min: 65 is not from 0 to --worker-threads-max 64",
    })
    void shouldRefuseNumbersOutOfRange(String options, String message) {
        assertThatThrownBy(() -> configure(options))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage(message);
    }

    @Test
    void shouldWantOneSetOfProcessorsForEachIOThread() {
        int cpu = CpuAffinity.ofCallingThread().first();
        assertThat(configure("--iothreads 2 --iothread-cpus " + cpu + " --iothread-cpus " + cpu)
                        .ioThreadCpus())
                .containsExactly(CpuAffinity.of(cpu), CpuAffinity.of(cpu));
        assertThatThrownBy(() -> configure("--iothreads 2 --iothread-cpus " + cpu))
                .hasMessage("--iothread-cpus: given 1 times for 2 IOThreads; give it once for each");
        assertThatThrownBy(() -> configure("--iothread-cpus " + cpu + " --iothread-cpus " + cpu))
                .hasMessage("--iothread-cpus: given 2 times for 1 IOThreads; give it once for each");
    }

    @Test
    void shouldRefuseProcessorsThatTheProcessMayNotUse() {
        assertThatThrownBy(() -> configure("--iothread-cpus 8191"))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage("--iothread-cpus: '8191' has none of the processors that this process may use: "
                        + CpuAffinity.ofCallingThread());
    }
}
