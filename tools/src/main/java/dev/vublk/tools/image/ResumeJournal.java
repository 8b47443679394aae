// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/**
 * How far a conversion has come that may be gone on with later: a small text file, replaced as a whole each time. Any thread, one
 * at a time.
 *
 * <pre>
 *   vublk-convert 1
 *   from /images/disk.qcow2 10737418240 2026-01-31T10:00:00.123Z 1234567 …
 *   done 268435456
 * </pre>
 */
final class ResumeJournal {
    private static final String FIRST_LINE = "vublk-convert 1";
    private static final String FROM = "from ";
    private static final String DONE = "done ";

    private final Path path;
    private final String identity;
    private final long startBytes;

    private ResumeJournal(Path path, String identity, long startBytes) {
        this.path = path;
        this.identity = identity;
        this.startBytes = startBytes;
    }

    /**
     * Reads what an earlier conversion has left, or begins anew.
     *
     * @param identity a line that says what is converted and how: it must be the same then
     * @param begun what an earlier conversion has begun to write; without it nothing was
     * @throws IOException it was another one, or the file is damaged: one line for the user
     */
    static ResumeJournal open(Path path, String identity, Path begun) throws IOException {
        if (!TargetFile.exists(path)) {
            if (Files.isRegularFile(begun) && Files.size(begun) > 0) {
                throw new IOException(begun + ": is there without " + path.getFileName()
                        + ", which says how far it goes: remove it to start anew");
            }
            return new ResumeJournal(path, identity, 0);
        }
        List<String> lines = readLines(path);
        if (lines.size() != 3
                || !lines.get(0).equals(FIRST_LINE)
                || !lines.get(1).startsWith(FROM)
                || !lines.get(2).matches(DONE + "[0-9]{1,18}")) {
            throw new IOException(path + ": is damaged: remove it and " + begun.getFileName() + " to start anew");
        }
        if (!lines.get(1).equals(FROM + identity)) {
            throw new IOException(path + ": the source has changed, or other options were given then: remove it and "
                    + begun.getFileName() + " to start anew");
        }
        long doneBytes = Long.parseLong(lines.get(2).substring(DONE.length()));
        boolean there = TargetFile.exists(begun);
        if (there && Files.isRegularFile(begun) && Files.size(begun) < doneBytes) {
            throw new IOException(
                    begun + ": is shorter than " + path.getFileName() + " says: remove both to start anew");
        }
        // What was begun is gone: nothing of it is done any more.
        return new ResumeJournal(path, identity, there ? doneBytes : 0);
    }

    private static List<String> readLines(Path path) throws IOException {
        try {
            return Files.readAllLines(path);
        } catch (IOException e) {
            throw new IOException(path + ": cannot be read: " + TargetFile.reason(e), e);
        }
    }

    /** How much of the disk had been copied, and was stable. */
    long startBytes() {
        return startBytes;
    }

    /**
     * So much of the disk has been copied, and is stable.
     *
     * @throws IOException that cannot be written, as on a full disk; the journal says what it said before
     */
    void record(long doneBytes) throws IOException {
        Path next = path.resolveSibling(path.getFileName() + ".new");
        String text = FIRST_LINE + "\n" + FROM + identity + "\n" + DONE + doneBytes + "\n";
        try {
            StableFiles.write(next, text.getBytes(StandardCharsets.UTF_8));
            Files.move(next, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            StableFiles.syncDirectoryOf(path);
        } catch (IOException e) {
            Files.deleteIfExists(next);
            throw new IOException(path + ": cannot be written: " + TargetFile.reason(e), e);
        }
    }

    /** The conversion is done. */
    void delete() throws IOException {
        Files.deleteIfExists(path);
    }
}
