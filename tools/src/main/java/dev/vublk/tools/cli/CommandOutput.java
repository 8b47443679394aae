// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Where a command prints: to the streams of picocli's command line, or to the process's own when picocli was not needed. A mixin. */
@Command // picocli wants something of a mixin
final class CommandOutput {
    @Spec(Spec.Target.MIXEE)
    private @Nullable CommandSpec spec;

    private @Nullable PrintWriter out;
    private @Nullable PrintWriter err;

    /** For programs. */
    PrintWriter out() {
        if (spec != null) {
            return spec.commandLine().getOut();
        }
        if (out == null) {
            out = new PrintWriter(System.out, true, System.out.charset());
        }
        return out;
    }

    /** For people. */
    PrintWriter err() {
        if (spec != null) {
            return spec.commandLine().getErr();
        }
        if (err == null) {
            err = new PrintWriter(System.err, true, System.err.charset());
        }
        return err;
    }

    /** What to throw when the command was used wrongly: one line with the remedy. */
    RuntimeException wrongUsage(@Nullable String message, @Nullable Throwable cause) {
        return spec == null
                ? new WrongUsage(String.valueOf(message), cause)
                : new ParameterException(spec.commandLine(), String.valueOf(message), cause);
    }

    /** The same without picocli. */
    static final class WrongUsage extends RuntimeException {
        private static final long serialVersionUID = 1L;

        WrongUsage(String message, @Nullable Throwable cause) {
            super(message, cause);
        }
    }
}
