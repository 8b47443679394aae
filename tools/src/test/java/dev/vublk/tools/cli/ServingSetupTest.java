// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ServingSetupTest {
    @TempDir
    private Path directory;

    /**
     * The thread that asks for a logger first sets the log up, and Log4j does not let a second one wait for it: it would go on without
     * the configuration, and the level that it then chooses would be lost. So the main thread asks for none meanwhile.
     */
    @Test
    void shouldReadArgumentsWithoutTheLog() throws Exception {
        Path output = directory.resolve("out");
        JavaRun run = JavaRun.of(
                directory,
                output.toFile(),
                ExportArguments.class,
                "export",
                "a.img",
                "--socket",
                "a.sock",
                "--disk",
                "image=b.img,socket=b.sock,cache=none,zone-size=1M,geometry=1/2/3",
                "--log-level",
                "INFO",
                "--fd-monitor",
                "auto",
                "--iothreads",
                "2",
                "--iothread-cpus",
                "0",
                "--lifetime",
                "normal:1:1",
                "--socket-mode",
                "0600");
        assertThat(run.status()).as(Files.readString(output)).isZero();
        assertThat(run.classes())
                .contains(" dev.vublk.tools.cli.ExportCommand ")
                .doesNotContain(" org.apache.logging.log4j.LogManager ");
    }
}
