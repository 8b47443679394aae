// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.Set;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** {@code vublk} with those commands alone that are over so soon that setting up the others would count. */
@Command(name = "vublk", subcommands = ConvertCommand.class)
final class ShortCommand {
    /** First arguments that this is for. */
    static final Set<String> NAMES = Set.of("convert", "export-image");

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of a failure.")
    private boolean debug;

    /** Before the first logger: warnings go to standard error without Log4j's core, which takes long to set up. */
    static void logSimply() {
        System.setProperty("log4j2.loggerContextFactory", "org.apache.logging.log4j.simple.SimpleLoggerContextFactory");
        System.setProperty("org.apache.logging.log4j.simplelog.level", "WARN");
    }

    boolean isDebug() {
        return debug;
    }
}
