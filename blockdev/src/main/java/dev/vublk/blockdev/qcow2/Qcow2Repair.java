// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.function.Consumer;

/**
 * Repairs what a check of a qcow2 image finds. Guest data is never touched. Whatever moment it is interrupted at, by a kill or a
 * power cut, the image is no worse than before: refcounts are raised first, then flags corrected, then refcounts lowered, each
 * made stable before the next; a new refcount table is written behind the end of the file, and then named by one write of the header.
 * One thread.
 */
public final class Qcow2Repair {
    /** What is to be repaired. */
    public enum Mode {
        /** Space that nothing refers to is given back; nothing is done that could lose anything. */
        LEAKS,
        /** All that can be. */
        ALL
    }

    /** A new refcount table can change which flags are right: they are corrected in the second round. The last one is a check. */
    private static final int ROUNDS_MAX = 3;

    private final OfflineFile file;
    private final Mode mode;
    private final Consumer<String> listener;

    private Qcow2Repair(OfflineFile file, Mode mode, Consumer<String> listener) {
        this.file = file;
        this.mode = mode;
        this.listener = listener;
    }

    /**
     * Checks an image, repairs it where that is necessary, and checks it again. When all is well then, the bits that say that it is
     * dirty or corrupt are cleared.
     *
     * @param file open for writing, and locked
     * @param listener is told each finding of the first check, in one line
     * @return what the second check found, and how much less that is
     * @throws IOException it cannot be read, judged, or written: one line for the user
     */
    public static Qcow2CheckResult run(OfflineFile file, Mode mode, Consumer<String> listener) throws IOException {
        return new Qcow2Repair(file, mode, listener).run();
    }

    /**
     * For an image that was found dirty when it was opened: its refcounts are made right, so that it can be written.
     *
     * @param fd the image, open for writing and locked; stays open
     * @throws IOException it cannot be made right: one line for the user
     */
    public static Qcow2CheckResult ofDirty(int fd, String name) throws IOException {
        Qcow2CheckResult result = run(OfflineFile.of(fd, name), Mode.ALL, finding -> {});
        if (!result.isConsistent()) {
            throw new IOException(name + ": qcow2: the image was not closed cleanly and cannot be repaired ("
                    + (result.corruptions() + result.checkErrors()) + " errors); see vublk check");
        }
        return result;
    }

    private Qcow2CheckResult run() throws IOException {
        Qcow2CheckResult before;
        boolean changed;
        try (Qcow2Check check = Qcow2Check.of(file, listener)) {
            before = check.result();
            changed = !before.isClean() && repair(check);
        }
        Qcow2CheckResult after = before;
        for (int round = 1; changed; round++) {
            try (Qcow2Check check = Qcow2Check.of(file, finding -> {})) {
                after = check.result().repairedFrom(before);
                changed = !after.isClean() && round < ROUNDS_MAX && repair(check);
            }
        }
        if (after.isConsistent()) {
            clearBits();
        }
        return after;
    }

    /** Whether anything was changed. */
    private boolean repair(Qcow2Check check) throws IOException {
        CheckFindings findings = check.findings();
        if (mode == Mode.LEAKS && findings.hasDamagedEntries()) {
            listener.accept("leaks are kept: damaged entries may have named them once");
            return false;
        }
        if (mode == Mode.LEAKS && findings.leaks == 0 && findings.wrongFlags == 0) {
            return false;
        }
        clearUnknownAutoclear(check.header());
        if (mode == Mode.ALL && findings.mustRebuild) {
            RefcountRebuild.run(file, check.header());
            return true;
        }
        if (mode == Mode.ALL && findings.lowRefcounts > 0) {
            check.comparison().raise();
            file.sync();
        }
        if (mode == Mode.ALL || findings.lowRefcounts == 0) {
            new CopiedFlags(file, check.header(), check.counts()).correct();
            file.sync();
        }
        if (findings.leaks > 0) {
            check.comparison().lower();
            file.sync();
        }
        return true;
    }

    /** What an unknown bit says about the image may be wrong once it was changed. */
    private void clearUnknownAutoclear(Qcow2Header header) throws IOException {
        long kept = header.autoclear() & AUTOCLEAR_KNOWN;
        if (kept != header.autoclear()) {
            writeLong(HEADER_AUTOCLEAR_FEATURES, kept);
            file.sync();
        }
    }

    /** Last, when all is stable that they warn of. */
    private void clearBits() throws IOException {
        Qcow2Header header = Qcow2Check.readHeader(file);
        if (header.isDirty() || header.isCorrupt()) {
            file.sync();
            writeLong(
                    HEADER_INCOMPATIBLE_FEATURES, header.incompatible() & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT));
            file.sync();
        }
    }

    private void writeLong(int offset, long value) throws IOException {
        file.write(ByteBuffer.allocate(Long.BYTES).putLong(value).array(), offset);
    }
}
