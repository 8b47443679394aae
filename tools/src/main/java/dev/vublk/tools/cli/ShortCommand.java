// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** {@code vublk} with one command alone that is over so soon that setting up the others would count. */
@Command(name = "vublk")
final class ShortCommand {
    /** First arguments that this is for. */
    static final Map<String, Class<?>> COMMANDS = Map.of(
            "convert", ConvertCommand.class,
            "export-image", ConvertCommand.class,
            "check", CheckCommand.class,
            "compare", CompareCommand.class,
            "info", InfoCommand.class,
            "map", MapCommand.class);

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of a failure.")
    private boolean debug;

    /** Before the first logger: warnings go to standard error without Log4j's core, which takes long to set up. */
    static void logSimply() {
        System.setProperty("log4j2.loggerContextFactory", "org.apache.logging.log4j.simple.SimpleLoggerContextFactory");
        System.setProperty("org.apache.logging.log4j.simplelog.level", "WARN");
    }

    /** Begins to set up system calls, which takes about as long as to set up and read the command line, and need not wait for it. */
    static void prepareSystemCalls() {
        Thread.ofPlatform().name("vublk-prepare").daemon().start(() -> NativeMemory.free(NativeMemory.allocate(1)));
    }

    boolean isDebug() {
        return debug;
    }
}
