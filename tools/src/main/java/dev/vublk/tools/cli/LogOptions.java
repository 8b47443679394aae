// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;
import picocli.CommandLine.Option;

/** How much is written to standard error. */
final class LogOptions {
    enum LogLevel {
        ERROR,
        WARN,
        INFO,
        DEBUG,
        TRACE
    }

    @Option(
            names = "--log-level",
            paramLabel = "LEVEL",
            defaultValue = "WARN",
            description = "How much to log on standard error: ${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}).")
    private LogLevel level = LogLevel.WARN;

    /** To be called before anything is logged. */
    void apply() {
        ServingSetup.awaitLog();
        // WARN is what the configuration says; where nothing more is wanted it need not be there (ShortCommand).
        if (level != LogLevel.WARN) {
            Configurator.setAllLevels("dev.vublk", Level.valueOf(level.name()));
        }
    }
}
