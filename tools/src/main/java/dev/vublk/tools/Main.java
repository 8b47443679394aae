// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools;

import dev.vublk.tools.cli.ShortCommand;
import dev.vublk.tools.cli.VublkCommand;

/** Where the {@code vublk} command begins. */
public final class Main {
    private Main() {}

    /** Runs the command and exits with its status: 0, 1 for a failure, 2 for wrong usage. */
    public static void main(String[] args) {
        int status = ShortCommand.run(args);
        if (status != ShortCommand.NOT_PLAIN) {
            // Everything is closed and printed, and there is nobody to be told of the end: an exit would first look for
            // loggers.
            Runtime.getRuntime().halt(status);
        }
        System.exit(VublkCommand.commandLine(args).execute(args));
    }
}
