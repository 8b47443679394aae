// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.file.FlushGate;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.tools.cli.CommandOutput.WrongUsage;
import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/**
 * Commands that are over so soon that setting up a command line would count: run without picocli when their arguments are plain,
 * and otherwise under a {@code vublk} that has this one command alone.
 */
@Command(name = "vublk")
public final class ShortCommand {
    /** What {@link #run} returns when it has done nothing. */
    public static final int NOT_PLAIN = -1;

    private static final int FAILED = 1;

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of a failure.")
    private boolean debug;

    /** Runs such a command: its exit status, or {@link #NOT_PLAIN} where picocli must read the arguments. */
    public static int run(String... args) {
        PlainCommand command = args.length == 0 ? null : of(args[0]);
        if (command == null) {
            return NOT_PLAIN;
        }
        prepareSystemCalls();
        if (!command.plain().read(args)) {
            return NOT_PLAIN;
        }
        logSimply();
        PrintWriter err = new PrintWriter(System.err, true, System.err.charset());
        int status;
        try {
            status = command.call();
            if (status == 0 && System.out.checkError()) {
                throw VublkCommand.outputLost();
            }
        } catch (WrongUsage e) {
            String name = args[0].equals("export-image") ? "convert" : args[0];
            status = VublkCommand.tellWrongUsage(err, e.getMessage(), "vublk " + name);
        } catch (Exception | Error e) {
            VublkCommand.tellFailure(err, e);
            status = command instanceof CompareCommand ? CompareCommand.CANNOT_OPEN : FAILED;
        }
        System.out.flush();
        return status;
    }

    /** The command that a first argument names, if it is one of these. */
    static @Nullable PlainCommand of(String name) {
        return switch (name) {
            case "convert", "export-image" -> new ConvertCommand();
            case "check" -> new CheckCommand();
            case "compare" -> new CompareCommand();
            case "info" -> new InfoCommand();
            case "map" -> new MapCommand();
            default -> null;
        };
    }

    /** Before the first logger: warnings go to standard error without Log4j's core, which takes long to set up. */
    static void logSimply() {
        System.setProperty("log4j2.loggerContextFactory", "org.apache.logging.log4j.simple.SimpleLoggerContextFactory");
        System.setProperty("org.apache.logging.log4j.simplelog.level", "WARN");
        // Nobody serves this disk on: that it cannot be made stable is the command's failure, and is told as that.
        System.setProperty("org.apache.logging.log4j.simplelog." + FlushGate.class.getName() + ".level", "OFF");
    }

    /** Begins to set up system calls, which takes about as long as to set up and read the command line, and need not wait for it. */
    static void prepareSystemCalls() {
        Thread.ofPlatform().name("vublk-prepare").daemon().start(() -> NativeMemory.free(NativeMemory.allocate(1)));
    }

    boolean isDebug() {
        return debug;
    }
}
