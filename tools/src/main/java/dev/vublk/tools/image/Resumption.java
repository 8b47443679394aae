// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Where the journal of a conversion is, and what makes two conversions the same. Any thread. */
final class Resumption {
    private Resumption() {}

    /**
     * The journal of a conversion that can be resumed, as an earlier one has left it.
     *
     * @throws IOException that was another conversion: one line for the user
     */
    static ResumeJournal journal(ConversionOptions options) throws IOException {
        Path target = TargetFile.resolve(options.target());
        boolean file = !Files.exists(target) || Files.isRegularFile(target);
        Path begun = file ? TargetFile.resumable(target) : target;
        Path journal = options.journal() == null
                ? begun.resolveSibling(begun.getFileName() + ".journal")
                : Path.of(options.journal()).toAbsolutePath();
        if (!file && options.journal() == null) {
            throw new IllegalArgumentException(
                    "--resume to a device needs --journal FILE: where to keep how far the copy is");
        }
        return ResumeJournal.open(journal, identity(options, target), begun);
    }

    /** A line that differs when the source has changed, as far as that can be seen, or when the target would be another one. */
    private static String identity(ConversionOptions options, Path target) throws IOException {
        Path source = Path.of(options.source());
        StringBuilder line = new StringBuilder();
        if (!Files.exists(source)) {
            throw new IOException(options.source() + ": cannot be opened: No such file or directory");
        }
        line.append(source.toRealPath());
        if (Files.isRegularFile(source)) {
            Map<String, Object> facts = Files.readAttributes(source, "unix:size,lastModifiedTime,ctime,ino,dev");
            for (String key : new String[] {"size", "lastModifiedTime", "ctime", "ino", "dev"}) {
                line.append(' ').append(facts.get(key));
            }
        }
        return line.append(' ')
                .append(options.sourceType())
                .append(' ')
                .append(options.snapshot())
                .append(" to ")
                .append(target)
                .append(' ')
                .append(options.zeroUnitBytes() == 0)
                .append(' ')
                .append(options.targetOptions().value("preallocation", "off"))
                .toString()
                .replaceAll("\\R", "?");
    }
}
