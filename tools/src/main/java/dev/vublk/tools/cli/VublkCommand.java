// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.DiskConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/**
 * The {@code vublk} command itself: help, and the options that QEMU's vhost-user specification asks of a stand-alone back
 * end ("Backend program conventions").
 */
@Command(
        name = "vublk",
        mixinStandardHelpOptions = true,
        versionProvider = VersionProvider.class,
        description = "Serves disks to virtual machines over vhost-user.",
        subcommands = {
            ExportCommand.class,
            CreateCommand.class,
            InfoCommand.class,
            CheckCommand.class,
            ConvertCommand.class,
            MapCommand.class,
            CompareCommand.class,
            ResizeCommand.class,
            SnapshotCommand.class,
            BenchCommand.class,
            CompletionCommand.class
        },
        synopsisSubcommandLabel = "COMMAND",
        footerHeading = "%nExamples:%n",
        footer = {
            "  vublk export disk.img --socket /run/disk.sock",
            "  vublk export --disk image=a.img,socket=a.sock --disk image=b.img,socket=b.sock,read-only=on",
            "  vublk info disk.img --json",
            "",
            "Exit status: 0 success (also after SIGTERM or SIGINT), 1 failure, 2 wrong usage."
        })
public final class VublkCommand implements Callable<Integer> {
    /** Columns of the help where no terminal tells; wide enough for the examples. */
    private static final int HELP_WIDTH = 110;

    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of a failure.")
    private boolean debug;

    @Option(
            names = "--print-capabilities",
            description = "Print what this back end can do, as JSON for management software, and exit.")
    private boolean printCapabilities;

    @Option(names = "--socket-path", paramLabel = "PATH", description = "Socket to listen on, with --blk-file.")
    private @Nullable String socketPath;

    @Option(names = "--fd", paramLabel = "N", description = "Inherited socket to use instead, with --blk-file.")
    private @Nullable Integer fd;

    @Option(names = "--blk-file", paramLabel = "FILE", description = "Image or block device to serve.")
    private @Nullable String blkFile;

    @Option(names = "--read-only", description = "Serve --blk-file read-only.")
    private boolean readOnly;

    @Mixin
    private final LogOptions log = new LogOptions();

    private VublkCommand() {}

    /** The command line for these arguments: of commands whose start counts only that one, as the others take time to set up. */
    public static CommandLine commandLine(String... args) {
        if (args.length > 0 && args[0].equals("export")) {
            ServingSetup.begin(args);
            ShortCommand root = new ShortCommand();
            return configured(new CommandLine(root).addSubcommand(ExportCommand.class), root::isDebug);
        }
        PlainCommand command = args.length == 0 ? null : ShortCommand.of(args[0]);
        if (command != null) {
            if (Arrays.stream(args).noneMatch(arg -> arg.startsWith("--log-level"))) {
                ShortCommand.logSimply();
            }
            ShortCommand root = new ShortCommand();
            return configured(new CommandLine(root).addSubcommand(command), root::isDebug);
        }
        return commandLine();
    }

    /** The whole command line, with its error messages. */
    public static CommandLine commandLine() {
        VublkCommand root = new VublkCommand();
        CommandLine line = configured(new CommandLine(root), () -> root.debug);
        // Its size may begin with a minus.
        requireNonNull(line.getSubcommands().get("resize")).setUnmatchedOptionsArePositionalParams(true);
        return line;
    }

    private static CommandLine configured(CommandLine line, BooleanSupplier debug) {
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setAbbreviatedOptionsAllowed(false);
        line.setUsageHelpWidth(HELP_WIDTH);
        line.setUsageHelpAutoWidth(true);
        line.setExecutionStrategy(VublkCommand::run);
        line.setParameterExceptionHandler(VublkCommand::onWrongUsage);
        line.setExecutionExceptionHandler(
                (failure, command, parsed) -> onFailure(failure, command, debug.getAsBoolean()));
        return line;
    }

    @Override
    public Integer call() throws Exception {
        if (printCapabilities) {
            // docs/interop/vhost-user.rst, "vhost-user-blk": the features are the options that we understand.
            spec.commandLine().getOut().println("{\"type\": \"block\", \"features\": [\"read-only\", \"blk-file\"]}");
            return 0;
        }
        if (blkFile == null) {
            if (socketPath != null || fd != null || readOnly) {
                throw new ParameterException(spec.commandLine(), "--blk-file FILE is missing: what is to be served?");
            }
            spec.commandLine().usage(spec.commandLine().getOut());
            return 0;
        }
        if ((socketPath == null) == (fd == null)) {
            throw new ParameterException(spec.commandLine(), "--blk-file needs one of --socket-path PATH and --fd N");
        }
        log.apply();
        return new Server(spec.commandLine().getOut(), new ControlOptions())
                .serve(new RuntimeOptions().configure(List.of(disk(blkFile))));
    }

    private DiskConfig disk(String image) {
        if (fd != null && fd < 0) {
            throw new ParameterException(spec.commandLine(), "--fd: '" + fd + "' is no descriptor: give one from 0 on");
        }
        DiskDefaults defaults = new DiskDefaults();
        defaults.readOnly = readOnly;
        try {
            DiskSpec disk = DiskSpec.ofOptions(defaults, image);
            if (socketPath != null) {
                disk.set("socket", socketPath);
            } else {
                disk.set("socket-fd", String.valueOf(fd));
            }
            return disk.build();
        } catch (TypeConversionException e) {
            throw new ParameterException(spec.commandLine(), "--blk-file: " + e.getMessage(), e);
        }
    }

    /** As picocli does it; but an Error is a failure like any other: one line, and a trace for those who ask. */
    private static int run(ParseResult parsed) {
        int status;
        try {
            status = new RunLast().execute(parsed);
        } catch (Error e) {
            throw new ExecutionException(parsed.commandSpec().commandLine(), String.valueOf(e), e);
        }
        List<CommandLine> commands = parsed.asCommandLineList();
        CommandLine command = commands.getLast();
        // Who serves disks goes on whether anybody reads what it says or not.
        boolean reports = commands.size() > 1 && !(command.getCommand() instanceof ExportCommand);
        if (reports && status == 0 && (command.getOut().checkError() || System.out.checkError())) {
            IOException lost = outputLost();
            throw new ExecutionException(command, String.valueOf(lost.getMessage()), lost);
        }
        return status;
    }

    /** Nobody has read all of what was to be said. */
    static IOException outputLost() {
        return new IOException("standard output: cannot be written");
    }

    /** Wrong usage is one line with the remedy, status 2. */
    private static int onWrongUsage(ParameterException wrong, String[] args) {
        CommandLine command = wrong.getCommandLine();
        return tellWrongUsage(
                command.getErr(), wrong.getMessage(), command.getCommandSpec().qualifiedName());
    }

    /** The same of the command with that name; returns the exit status. */
    static int tellWrongUsage(PrintWriter err, @Nullable String message, String command) {
        err.println("vublk: " + oneLine(message));
        err.println("Try '" + command + " --help'.");
        return CommandLine.ExitCode.USAGE;
    }

    /** A failure is one line, status 1; the stack trace only for those who ask. */
    private static int onFailure(Exception failure, CommandLine command, boolean debug) {
        tellFailure(command.getErr(), failure);
        if (debug) {
            failure.printStackTrace(command.getErr());
        }
        return command.getCommandSpec().exitCodeOnExecutionException();
    }

    /** The same without a trace. */
    static void tellFailure(PrintWriter err, Throwable failure) {
        err.println("vublk: " + oneLine(describe(failure)));
    }

    /** What is written for people in an exception; where nothing is, what happened and how to find out more. */
    static String describe(Throwable failure) {
        return switch (failure) {
            case UncheckedIOException unchecked -> describe(requireNonNull(unchecked.getCause()));
            // Their messages begin with the file; without a reason the file is all there is.
            case NoSuchFileException e when e.getReason() == null -> e.getFile() + ": No such file or directory";
            case AccessDeniedException e when e.getReason() == null -> e.getFile() + ": Permission denied";
            case IOException e when e.getMessage() != null -> e.getMessage();
            case ExecutionException e when e.getCause() != null -> internal(e.getCause());
            default -> internal(failure);
        };
    }

    private static String internal(Throwable failure) {
        return "internal error: " + failure + " (--debug shows where)";
    }

    private static String oneLine(@Nullable String message) {
        return String.valueOf(message).strip().replaceAll("\\s*\\R\\s*", " ");
    }
}
