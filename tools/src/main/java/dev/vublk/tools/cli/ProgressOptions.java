// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.Locale;
import picocli.CommandLine.Option;

/** How a command that takes long shows how far it is. */
final class ProgressOptions {
    enum Kind {
        /** A line on standard error if that is a terminal, else nothing. */
        AUTO,
        /** A line on standard error that is written over and over. */
        TTY,
        /** A JSON object a line. */
        JSON,
        NONE
    }

    @Option(names = "-p", description = "Show progress, as --progress=tty.")
    private boolean show;

    @Option(
            names = "--progress",
            paramLabel = "KIND",
            defaultValue = "auto",
            description =
                    "How to show progress: tty (a bar on standard error), json (an object a line on standard output,"
                            + " or on standard error when the image goes to standard output), none, or auto: tty if standard error"
                            + " is a terminal (default auto).")
    private Kind kind = Kind.AUTO;

    /** The same options for arguments that picocli need not read. */
    PlainArguments addTo(PlainArguments plain) {
        return plain.flag(() -> show = true, "-p")
                .value(text -> kind = Kind.valueOf(text.toUpperCase(Locale.ROOT)), "--progress");
    }

    Kind kind() {
        if (kind != Kind.AUTO) {
            return kind;
        }
        return show || ProgressDisplay.isTerminal() ? Kind.TTY : Kind.NONE;
    }
}
