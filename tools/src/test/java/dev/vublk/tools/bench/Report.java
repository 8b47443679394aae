// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Where a measurement's results go. One thread. */
@SuppressWarnings("AnnotateFormatMethod") // the annotation would be a dependency of its own
final class Report {
    private final StringBuilder text = new StringBuilder();
    private final @Nullable Path plots;

    /** With a directory for pictures, or none. */
    Report(@Nullable Path plots) {
        this.plots = plots;
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
        }
    }

    /** All lines so far. */
    void writeTo(Path file) throws IOException {
        Files.writeString(file, text);
    }
}
