// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.linux.ZoneIoctl.*;
import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.linux.Errno;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * The file that keeps the state of emulated zones, mapped into memory. Thread-safe.
 *
 * <pre>
 *  0     "VUBLKZON", 8 version u64, 16 disk size u64, 24 zone size u64, 32 capacity u64, 40 conventional zones u64,
 *  48    boot id (16 bytes of random/boot_id) for which the words "now" hold, 64 number of zones u64
 *  4096  now[]:    one u64 a zone, as {@link ZoneTable} has them at this moment
 *  ...   stable[]: one u64 a zone, from the next multiple of 4096 on: what a power cut leaves
 * </pre>
 *
 * Little-endian. A word is 8 bytes at a multiple of 8, so it is old or new, never half. Two sets, because two things can
 * end us: when the process dies, the page cache still has all writes and all of "now", and nothing is forgotten; when the
 * machine dies, pages of "now" and of the image may have reached the disk in any order, which the other boot id tells, and
 * "stable" is taken, which was only written when the data before it was stable.
 */
final class ZoneFile implements AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(ZoneFile.class);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");

    private static final byte[] MAGIC = "VUBLKZON".getBytes(US_ASCII);
    private static final long VERSION = 1;
    private static final int PAGE_BYTES = 4096;
    private static final int BOOT_ID_AT = 48;
    private static final int ZONE_COUNT_AT = 64;
    private static final long NOT_TAKEN = -1;

    /** What the file was made for; all of it must be the same when it is opened again. */
    record Layout(long diskBytes, long zoneBytes, long capacityBytes, long conventionalCount, int zoneCount) {
        private ByteBuffer header() {
            return ByteBuffer.allocate(BOOT_ID_AT)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .put(MAGIC)
                    .putLong(VERSION)
                    .putLong(diskBytes)
                    .putLong(zoneBytes)
                    .putLong(capacityBytes)
                    .putLong(conventionalCount)
                    .flip();
        }

        private long stableAt() {
            return PAGE_BYTES + pages(8L * zoneCount);
        }

        private long fileBytes() {
            return stableAt() + pages(8L * zoneCount);
        }

        private static long pages(long bytes) {
            return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        }
    }

    private final Path path;
    private final Layout layout;
    private final FileChannel file;
    private final Arena arena;
    private final MemorySegment mapped;
    private final boolean readOnly;
    /** Whether the words of now are true; else those that are stable. */
    private boolean nowHolds;
    /** Pointers taken for the flush that runs; a zone that was reset meanwhile is not taken any more. */
    private final long[] taken;

    private ZoneFile(Path path, Layout layout, FileChannel file, boolean readOnly) throws IOException {
        this.path = path;
        this.layout = layout;
        this.file = file;
        this.readOnly = readOnly;
        arena = Arena.ofShared();
        mapped = file.map(readOnly ? MapMode.READ_ONLY : MapMode.READ_WRITE, 0, layout.fileBytes(), arena);
        taken = new long[layout.zoneCount()];
    }

    /** Opens the file, or makes it, with empty zones, when it does not exist. */
    static ZoneFile open(Path path, Layout layout, boolean readOnly) throws BlockOpenException {
        try {
            return open(path, layout, readOnly, bootId());
        } catch (BlockOpenException e) {
            throw e;
        } catch (IOException e) {
            throw new BlockOpenException(path + ": the zones' metadata cannot be used: " + reason(e));
        }
    }

    /** With a boot id of the caller's choice. */
    static ZoneFile open(Path path, Layout layout, boolean readOnly, byte[] bootId) throws IOException {
        if (!Files.exists(path)) {
            if (readOnly) {
                throw new BlockOpenException(path + ": does not exist, and read-only=on cannot make it");
            }
            create(path, layout);
        }
        FileChannel file = readOnly
                ? FileChannel.open(path, StandardOpenOption.READ)
                : FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            lock(path, file, readOnly);
            check(path, layout, file);
            ZoneFile zoneFile = new ZoneFile(path, layout, file, readOnly);
            zoneFile.recover(bootId);
            return zoneFile;
        } catch (Throwable failure) {
            file.close();
            throw failure;
        }
    }

    private static String reason(IOException e) {
        return e instanceof FileAlreadyExistsException || e.getMessage() == null ? e.toString() : e.getMessage();
    }

    private static byte[] bootId() throws IOException {
        String text = Files.readString(BOOT_ID).strip().replace("-", "");
        return HexFormat.of().parseHex(text);
    }

    /** Whole and stable under another name first: a file of the right name is always complete. */
    private static void create(Path path, Layout layout) throws IOException {
        Path unfinished = path.resolveSibling(path.getFileName() + ".new");
        try (FileChannel file = FileChannel.open(
                unfinished,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE)) {
            // Every byte is written: a mapped page without a block might find none later.
            ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(layout.fileBytes()))
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .put(layout.header());
            bytes.putLong(ZONE_COUNT_AT, layout.zoneCount());
            for (int zone = 0; zone < layout.zoneCount(); zone++) {
                long word = ZoneTable.word(
                        0, zone < layout.conventionalCount() ? BLK_ZONE_COND_NOT_WP : BLK_ZONE_COND_EMPTY);
                bytes.putLong(PAGE_BYTES + 8 * zone, word);
                bytes.putLong((int) layout.stableAt() + 8 * zone, word);
            }
            bytes.rewind();
            while (bytes.hasRemaining()) {
                file.write(bytes);
            }
            file.force(true);
        }
        Files.move(unfinished, path, StandardCopyOption.ATOMIC_MOVE);
    }

    private static void lock(Path path, FileChannel file, boolean readOnly) throws IOException {
        try {
            if (file.tryLock(0, Long.MAX_VALUE, readOnly) != null) {
                return;
            }
        } catch (OverlappingFileLockException heldByThisProcess) {
            LOG.debug("{}: locked by this process", path);
        }
        throw new BlockOpenException(path + ": the zones' metadata is in use by another disk");
    }

    private static void check(Path path, Layout layout, FileChannel file) throws IOException {
        ByteBuffer found = ByteBuffer.allocate(BOOT_ID_AT).order(ByteOrder.LITTLE_ENDIAN);
        int read = 0;
        while (found.hasRemaining() && read >= 0) {
            read = file.read(found, found.position());
        }
        found.flip();
        if (found.remaining() < BOOT_ID_AT || !Arrays.equals(found.array(), 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
            throw new BlockOpenException(path + ": is no metadata of zones; give another file, or remove it");
        }
        if (found.getLong(8) != VERSION) {
            throw new BlockOpenException(path + ": metadata of version " + found.getLong(8) + "; this is version 1");
        }
        if (!found.equals(layout.header()) || file.size() != layout.fileBytes()) {
            throw new BlockOpenException(
                    path + ": was made for a disk of " + found.getLong(16) + " bytes with zone-size="
                            + found.getLong(24) + ",zone-capacity=" + found.getLong(32) + ",conventional-zones="
                            + found.getLong(40) + "; ask for the same, or remove it and lose the zones' data");
        }
    }

    /** After a reboot the stable words are the true ones; they become those of now, and only then is the boot id ours. */
    private void recover(byte[] bootId) {
        byte[] before = mapped.asSlice(BOOT_ID_AT, 16).toArray(ValueLayout.JAVA_BYTE);
        boolean sameBoot = Arrays.equals(before, bootId);
        nowHolds = sameBoot || !readOnly;
        if (readOnly || sameBoot) {
            return;
        }
        for (int zone = 0; zone < layout.zoneCount(); zone++) {
            mapped.set(LONG, nowAt(zone), mapped.get(LONG, stableAt(zone)));
        }
        mapped.force();
        MemorySegment.copy(bootId, 0, mapped, ValueLayout.JAVA_BYTE, BOOT_ID_AT, 16);
        mapped.force();
    }

    /** The zones as they were left, for a {@link ZoneTable}. */
    long[] words() {
        long[] words = new long[layout.zoneCount()];
        for (int zone = 0; zone < words.length; zone++) {
            long word = mapped.get(LONG, nowHolds ? nowAt(zone) : stableAt(zone));
            words[zone] = isValid(zone, word) ? word : ZoneTable.word(0, BLK_ZONE_COND_OFFLINE);
        }
        return words;
    }

    /** A file that was damaged costs the zones in question, no more. */
    private boolean isValid(int zone, long word) {
        int condition = ZoneTable.condition(word);
        if (zone < layout.conventionalCount()) {
            return word == ZoneTable.word(0, BLK_ZONE_COND_NOT_WP);
        }
        long written = ZoneTable.writtenBytes(word);
        boolean known = (condition == BLK_ZONE_COND_EMPTY && written == 0)
                || ZoneTable.isActive(condition)
                || condition == BLK_ZONE_COND_FULL
                || condition == BLK_ZONE_COND_READONLY
                || condition == BLK_ZONE_COND_OFFLINE;
        if (!known || written > layout.zoneBytes() || written % 512 != 0) {
            LOG.error("{}: the state of zone {} is damaged; the zone is offline", path, zone);
            return false;
        }
        return true;
    }

    /** Keeps a word for the case that the process dies. */
    void keepNow(int zone, long word) {
        mapped.set(LONG, nowAt(zone), word);
    }

    /** Takes the pointers that a flush that begins now will make stable. */
    synchronized void takePointers(ZoneTable table) {
        for (int zone = 0; zone < taken.length; zone++) {
            taken[zone] = table.word(zone);
        }
    }

    /** Keeps for good what was taken: its data is stable now. Blocking: 0 or a negative errno. */
    int commit() {
        synchronized (this) {
            for (int zone = 0; zone < taken.length; zone++) {
                if (taken[zone] != NOT_TAKEN) {
                    mapped.set(LONG, stableAt(zone), stable(taken[zone]));
                }
            }
        }
        return force();
    }

    /** Keeps for good that a zone is empty, whatever a flush that runs has taken. Blocking: 0 or a negative errno. */
    int keepEmpty(int zone) {
        synchronized (this) {
            taken[zone] = NOT_TAKEN;
            mapped.set(LONG, stableAt(zone), ZoneTable.word(0, BLK_ZONE_COND_EMPTY));
        }
        return force();
    }

    /** What becomes of a zone without power: an open one is closed. */
    private static long stable(long word) {
        long written = ZoneTable.writtenBytes(word);
        if (!ZoneTable.isActive(ZoneTable.condition(word))) {
            return word;
        }
        return ZoneTable.word(written, written == 0 ? BLK_ZONE_COND_EMPTY : BLK_ZONE_COND_CLOSED);
    }

    private int force() {
        try {
            mapped.force();
            return 0;
        } catch (UncheckedIOException e) {
            LOG.error("{}: cannot be written", path, e);
            return -Errno.EIO;
        }
    }

    private static long nowAt(int zone) {
        return PAGE_BYTES + 8L * zone;
    }

    private long stableAt(int zone) {
        return layout.stableAt() + 8L * zone;
    }

    @Override
    public void close() {
        arena.close();
        try {
            file.close();
        } catch (IOException e) {
            LOG.warn("{}: cannot be closed", path, e);
        }
    }
}
