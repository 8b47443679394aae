// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HexFormat;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * A file that appears under its name when it is whole, and not before: it is written under another name beside it, made stable and
 * renamed. A file that has the name already stays until then. Used by one thread.
 *
 * <pre>
 *   disk.qcow2                        what was there before, locked meanwhile
 *   .disk.qcow2.5f0c3a91.part         what is being written
 * </pre>
 */
final class TargetFile implements AutoCloseable {
    private static final String SUFFIX = ".part";

    /** Names have at most 255 bytes. Leaves room for the rest. */
    private static final int NAME_MAX = 200;

    private final Path path;
    private final Path temporary;
    private final OfflineFile file;
    private final @Nullable OfflineFile replaced;
    private boolean committed;
    private boolean kept;

    private TargetFile(Path path, Path temporary, OfflineFile file, @Nullable OfflineFile replaced) {
        this.path = path;
        this.temporary = temporary;
        this.file = file;
        this.replaced = replaced;
    }

    /**
     * Begins a new file. One that is there must be a regular file that nobody uses.
     *
     * @throws IOException it cannot be made, or somebody uses the one that is there: one line for the user
     */
    static TargetFile create(String name) throws IOException {
        Path path = resolve(name);
        return open(name, path, path.resolveSibling(hidden(path) + "." + randomHex() + SUFFIX), true);
    }

    /** Begins a new file, or goes on with one that {@link #keep} has left, under a name that can be found again. */
    static TargetFile resume(String name) throws IOException {
        Path path = resolve(name);
        Path temporary = resumable(path);
        boolean begun = exists(temporary);
        TargetFile file = open(name, path, temporary, !begun);
        file.kept = begun;
        return file;
    }

    /** Where a file that can be resumed is meanwhile. */
    static Path resumable(Path path) {
        return path.resolveSibling(hidden(path) + SUFFIX);
    }

    /** The file that a name means: symbolic links stay, what they point to is replaced. */
    static Path resolve(String name) throws IOException {
        Path path = Path.of(name).toAbsolutePath();
        if (exists(path)) {
            return path.toRealPath();
        }
        if (Files.isSymbolicLink(path)) {
            throw new IOException(name + ": is a symbolic link to a file that does not exist");
        }
        Path parent = path.getParent();
        if (parent == null || path.getFileName() == null) {
            throw new IOException(name + ": is no name of a file");
        }
        try {
            return parent.toRealPath().resolve(path.getFileName());
        } catch (NoSuchFileException e) {
            throw new IOException(name + ": its directory does not exist", e);
        }
    }

    private static TargetFile open(String name, Path path, Path temporary, boolean create) throws IOException {
        OfflineFile replaced = exists(path) ? OfflineFile.open(path.toString(), true, false) : null;
        try {
            if (replaced != null && !Files.isRegularFile(path)) {
                throw new IOException(path + ": is no regular file");
            }
            if (create) {
                createEmpty(temporary, path);
            }
            return new TargetFile(path, temporary, openCreated(temporary, name, create), replaced);
        } catch (IOException | RuntimeException e) {
            if (replaced != null) {
                replaced.close();
            }
            throw e;
        }
    }

    /** Whether a file of that name is there; not knowing it, what is there is not to be replaced. */
    static boolean exists(Path path) throws IOException {
        try {
            path.getFileSystem().provider().checkAccess(path);
            return true;
        } catch (NoSuchFileException e) {
            return false;
        } catch (IOException e) {
            throw new IOException(path + ": cannot be opened: " + reason(e), e);
        }
    }

    private static OfflineFile openCreated(Path temporary, String name, boolean created) throws IOException {
        try {
            return OfflineFile.openTemporary(temporary.toString(), name);
        } catch (IOException e) {
            if (created) {
                deleteAfter(e, temporary);
            }
            throw e;
        }
    }

    private static void deleteAfter(IOException failure, Path temporary) {
        try {
            Files.deleteIfExists(temporary);
        } catch (IOException e) {
            failure.addSuppressed(e); // What failed first is what the user must hear of.
        }
    }

    private static void createEmpty(Path temporary, Path path) throws IOException {
        boolean replaces = exists(path);
        Set<PosixFilePermission> permissions =
                replaces ? Files.getPosixFilePermissions(path) : PosixFilePermissions.fromString("rw-rw-rw-");
        FileAttribute<?> attribute = PosixFilePermissions.asFileAttribute(permissions);
        try {
            Files.createFile(temporary, attribute);
            if (replaces) {
                Files.setPosixFilePermissions(temporary, permissions);
            }
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (IOException e) {
            deleteAfter(e, temporary);
            throw new IOException(path + ": cannot be created: " + reason(e), e);
        }
    }

    /** Why a file could not be written, without its name. */
    static String reason(IOException e) {
        return switch (e) {
            case java.nio.file.AccessDeniedException denied -> "Permission denied";
            case java.nio.file.FileSystemException failed when failed.getReason() != null -> failed.getReason();
            default -> String.valueOf(e.getMessage());
        };
    }

    private static String hidden(Path path) {
        String name = String.valueOf(path.getFileName());
        return "." + (name.length() > NAME_MAX ? name.substring(0, NAME_MAX) : name);
    }

    private static String randomHex() {
        // Nobody is kept from guessing it: a name that is taken already is not used.
        return HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextInt());
    }

    /** What is being written. */
    OfflineFile file() {
        return file;
    }

    /** Its name meanwhile. */
    Path temporary() {
        return temporary;
    }

    /** The file is whole: makes it stable and gives it its name. */
    void commit() throws IOException {
        commit(true);
    }

    /** The same; a file that is not made stable may be empty after a power cut, whatever had its name before being gone. */
    void commit(boolean stable) throws IOException {
        if (stable) {
            file.sync();
        }
        try {
            Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new IOException(path + ": cannot be given its name: " + reason(e), e);
        }
        committed = true;
        if (stable) {
            syncName();
        }
    }

    /** Makes it stable and gives it its name, unless something has that name already: then nothing changes. */
    void commitNew() throws IOException {
        file.sync();
        try {
            // Unlike a rename, a link fails when the name is taken.
            Files.createLink(path, temporary);
        } catch (FileAlreadyExistsException e) {
            throw new IOException(path + ": exists already; --force replaces it", e);
        } catch (UnsupportedOperationException | FileSystemException e) {
            // A file system without links: somebody who takes the name this very moment loses it.
            if (Files.exists(path)) {
                throw new IOException(path + ": exists already; --force replaces it", e);
            }
            commit();
            return;
        }
        committed = true;
        try {
            Files.delete(temporary);
        } catch (IOException e) {
            deleteAfter(e, temporary);
            throw new IOException(
                    path + ": is whole, but its other name " + temporary + " cannot be removed: " + reason(e), e);
        }
        syncName();
    }

    /** Whether it has its name. */
    boolean isCommitted() {
        return committed;
    }

    /** Takes the name away again that {@link #commitNew} has given it: it is of no use because of a failure. */
    void withdraw(IOException failure) {
        deleteAfter(failure, path);
    }

    private void syncName() throws IOException {
        try {
            StableFiles.syncDirectoryOf(path);
        } catch (IOException e) {
            throw new IOException(
                    path + ": is whole, but a power cut may take its name away, which cannot be made stable: "
                            + reason(e),
                    e);
        }
    }

    /** Leaves the file under its temporary name when it is closed without having been committed. */
    void keep() {
        kept = true;
    }

    /** Unless it was committed or is to be kept, nothing is left of it. */
    @Override
    public void close() {
        file.close();
        if (!committed && !kept) {
            try {
                Files.deleteIfExists(temporary);
            } catch (IOException e) {
                // What failed before is what the user must hear of.
                kept = true;
            }
        }
        if (replaced != null) {
            replaced.close();
        }
    }
}
