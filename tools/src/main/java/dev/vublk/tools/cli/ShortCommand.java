// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.tools.cli.CommandOutput.WrongUsage;
import dev.vublk.vhostuser.linux.LibC;
import io.netty.channel.uring.IoUring;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.Callable;
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

    /** Runs such a command: its exit status, or {@link #NOT_PLAIN} where picocli must read the arguments. */
    public static int run(String... args) {
        if (args.length == 0 || !COMMANDS.containsKey(args[0])) {
            return NOT_PLAIN;
        }
        prepareSystemCalls();
        Callable<Integer> command = plain(args);
        if (command == null) {
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

    /** The command with its options set; null where picocli must read them. */
    static @Nullable Callable<Integer> plain(String... args) {
        return switch (args[0]) {
            case "convert", "export-image" -> {
                ConvertCommand convert = new ConvertCommand();
                yield convert.plain().read(args) ? convert : null;
            }
            case "check" -> {
                CheckCommand check = new CheckCommand();
                yield check.plain().read(args) ? check : null;
            }
            case "compare" -> {
                CompareCommand compare = new CompareCommand();
                yield compare.plain().read(args) ? compare : null;
            }
            case "info" -> {
                InfoCommand info = new InfoCommand();
                yield info.plain().read(args) ? info : null;
            }
            case "map" -> {
                MapCommand map = new MapCommand();
                yield map.plain().read(args) ? map : null;
            }
            default -> throw new IllegalArgumentException(args[0]);
        };
    }

    /** Before the first logger: warnings go to standard error without Log4j's core, which takes long to set up. */
    static void logSimply() {
        System.setProperty("log4j2.loggerContextFactory", "org.apache.logging.log4j.simple.SimpleLoggerContextFactory");
        System.setProperty("org.apache.logging.log4j.simplelog.level", "WARN");
    }

    /** Begins to set up system calls, which takes about as long as to set up and read the command line, and need not wait for it. */
    static void prepareSystemCalls() {
        Thread.ofPlatform().name("vublk-prepare").daemon().start(() -> NativeMemory.free(NativeMemory.allocate(1)));
    }

    /** Begins to set up what disks are served with, as with {@link #prepareSystemCalls}. */
    static void prepareServing(String... args) {
        LogSetup.begin();
        Thread.ofPlatform().name("vublk-prepare").daemon().start(() -> {
            NativeMemory.free(NativeMemory.allocate(1));
            if (Arrays.stream(args).noneMatch(arg -> arg.startsWith("--fd-monitor"))) {
                IoUring.isAvailable(); // Who asks for something else may not be allowed to try.
            }
            LibC.check(0);
        });
    }

    boolean isDebug() {
        return debug;
    }
}
