// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.function.Consumer;

/**
 * Checks a qcow2 image: counts anew who refers to which cluster, and compares that with the refcounts and flags in the file. Takes a
 * byte of memory for each cluster, and 32 MiB at most for refcounts that are read. Nothing is written. One thread.
 */
public final class Qcow2Check implements AutoCloseable {
    private final OfflineFile file;
    private final Qcow2Header header;
    private final ReferenceCounts counts = new ReferenceCounts();
    private final StoredRefcounts stored;
    private final CheckFindings findings;

    private Qcow2Check(OfflineFile file, Consumer<String> listener) throws IOException {
        this.file = file;
        header = readHeader(file);
        findings = new CheckFindings(listener);
        if (file.sizeBytes() >> header.clusterBits() >= ReferenceCounts.CLUSTERS_MAX - 1) {
            throw new IOException(file.name() + ": qcow2: the file is too long to be checked");
        }
        stored = new StoredRefcounts(file, header);
    }

    /**
     * Checks an image.
     *
     * @param listener is told each finding, in one line
     * @throws IOException it is no qcow2 image, or cannot be read so far that the rest could be judged: one line for the user
     */
    public static Qcow2CheckResult run(OfflineFile file, Consumer<String> listener) throws IOException {
        try (Qcow2Check check = of(file, listener)) {
            return check.result();
        }
    }

    /** A check that has been made, for a repair. */
    static Qcow2Check of(OfflineFile file, Consumer<String> listener) throws IOException {
        Qcow2Check check = new Qcow2Check(file, listener);
        try {
            check.run();
            return check;
        } catch (Throwable failure) {
            check.close();
            throw failure;
        }
    }

    /** The header of the image in a file. */
    public static Qcow2Header readHeader(OfflineFile file) throws IOException {
        ByteBuffer head = head(file, Qcow2Layout.V3_HEADER_BYTES);
        int clusterBytes = Qcow2Header.clusterBytes(head, file.name());
        return Qcow2Header.decode(head(file, clusterBytes), file.name());
    }

    private static ByteBuffer head(OfflineFile file, int lengthBytes) throws IOException {
        long fileBytes = file.sizeBytes();
        if (fileBytes == 0) {
            throw new BlockOpenException(file.name() + ": is empty");
        }
        return ByteBuffer.wrap(file.read(0, (int) Math.min(lengthBytes, fileBytes)));
    }

    private void run() throws IOException {
        try (ReferenceWalk walk = new ReferenceWalk(file, header, stored, counts, findings)) {
            walk.run();
        }
        comparison().tell();
    }

    RefcountComparison comparison() throws IOException {
        return new RefcountComparison(header, stored, counts, findings, file.sizeBytes());
    }

    Qcow2CheckResult result() {
        return findings.result(header);
    }

    Qcow2Header header() {
        return header;
    }

    ReferenceCounts counts() {
        return counts;
    }

    StoredRefcounts stored() {
        return stored;
    }

    CheckFindings findings() {
        return findings;
    }

    @Override
    public void close() {
        stored.close();
        counts.close();
    }
}
