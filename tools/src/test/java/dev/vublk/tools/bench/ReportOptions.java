// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Where a measurement's report goes: for every program that makes one. */
final class ReportOptions {
    @Option(names = "--out", paramLabel = "FILE", description = "Write the tables to FILE as well, as Markdown.")
    private @Nullable Path out;

    @Spec(Spec.Target.MIXEE)
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec command;

    /**
     * A report that begins with the command that makes it.
     *
     * @param script the script that starts the program
     * @param plots a directory for pictures, or none
     */
    Report begin(String script, @Nullable Path plots) throws IOException {
        Report report = new Report(plots);
        report.origin(script, command);
        return report;
    }

    /** It is complete. */
    void end(Report report) throws IOException {
        if (out != null) {
            report.writeTo(out);
        }
    }
}
