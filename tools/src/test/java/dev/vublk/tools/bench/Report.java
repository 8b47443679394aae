// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/** Where a measurement's results go. One thread. */
@SuppressWarnings("AnnotateFormatMethod") // the annotation would be a dependency of its own
final class Report {
    private static final String BEGIN = "<!-- measured -->\n\n";
    private static final String END = "\n<!-- end of what was measured -->\n";

    private final StringBuilder text = new StringBuilder();
    private final @Nullable Path plots;

    /** With a directory for pictures, or none. */
    Report(@Nullable Path plots) {
        this.plots = plots;
    }

    /** The command that makes it, and where: the first lines of every report. */
    void origin(String script, CommandSpec command) throws IOException {
        line(
                "`scripts/%s%n",
                String.join(
                                        " ",
                                        script,
                                        String.join(
                                                " ",
                                                command.commandLine()
                                                        .getParseResult()
                                                        .originalArgs()))
                                .strip()
                        + "`");
        line(
                "%s, %d processors, Linux %s, Java %s.%n",
                Machine.processorName(),
                Runtime.getRuntime().availableProcessors(),
                System.getProperty("os.version"),
                System.getProperty("java.version"));
    }

    /** A line of Markdown, shown at once. */
    void line(String format, Object... values) {
        String line = String.format(Locale.ROOT, format, values);
        System.out.println(line);
        text.append(line).append('\n');
    }

    /** What happens meanwhile, for whoever watches. */
    void progress(String format, Object... values) {
        System.err.println(String.format(Locale.ROOT, format, values));
    }

    void plot(String name, String svg) throws IOException {
        if (plots != null) {
            Files.writeString(Files.createDirectories(plots).resolve(name + ".svg"), svg);
            line("![%s](%s.svg)%n", name, name);
        }
    }

    /**
     * Writes all lines so far. In a file that has the two marks they take the place of what is between them; what somebody has
     * written before and behind stays.
     */
    void writeTo(Path file) throws IOException {
        String old = Files.exists(file) ? Files.readString(file) : "";
        int begin = old.indexOf(BEGIN);
        int end = old.indexOf(END);
        boolean marked = begin >= 0 && end > begin;
        Files.writeString(
                file, (marked ? old.substring(0, begin) : "") + BEGIN + text + (marked ? old.substring(end) : END));
    }
}
