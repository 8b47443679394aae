// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import picocli.CommandLine;

/** Reads the arguments of an export, and does nothing else: what the main thread does while the log is set up in another one. */
final class ExportArguments {
    private ExportArguments() {}

    public static void main(String[] args) {
        new CommandLine(new ShortCommand()).addSubcommand(ExportCommand.class).parseArgs(args);
    }
}
