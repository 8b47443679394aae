// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.qcow2.WriteWorld.DataFile;
import dev.vublk.blockdev.qcow2.WriteWorld.Kind;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What one failed call of the file leaves, step by step. */
@SuppressWarnings("NullAway.Init") // open() sets it up
class ImageWriterFaultTest {
    private static final int SECTOR_BYTES = 512;
    private static final int CLUSTER_BYTES = 4096;

    @TempDir
    Path directory;

    private WriteWorld world;
    private PlainLoop loop;
    private MetadataFile file;
    private ImageChanges changes;

    private void open(Kind kind) throws Exception {
        world = new WriteWorld(directory, kind, 1);
        world.open(1 << 20);
        loop = PlainLoop.withoutRing();
        file = world.disk.on(loop);
        MetadataFile data = world.dataDisk == world.disk ? file : world.dataDisk.on(loop);
        PlainReader reader = new PlainReader(world.writable, file, data, new byte[0]);
        changes = new ImageChanges(world.writable, 0, file, data, reader);
    }

    private void openPlain() throws Exception {
        open(new Kind("cluster_size=4096", 2 << 20, false, false));
    }

    /** The entry that a failed write left in the file comes back when its slice is forgotten, or after a kill. */
    @Test
    void shouldNotTakeForZeroesWhatAFailedWriteMayHaveLeftInTheFile() throws Exception {
        openPlain();
        assertThat(write(CLUSTER_BYTES, SECTOR_BYTES, 1)).isZero();
        world.disk.failAfter(1); // the data is written, and so are the entries, but that call fails
        assertThat(write(0, 2 * SECTOR_BYTES, 7)).isEqualTo(-Errno.EIO);

        int zeroed = loop.run(() -> changes.eraser().writeZeroes(0, SECTOR_BYTES, false, false));

        assertThat(zeroed).isZero();
        assertThat(byteAt(0, world.dump())).isZero();
    }

    /** Behind an entry that says zeroes a raw data file has what a failed write left, which nobody was shown. */
    @Test
    void shouldNotShowWhatAFailedWriteLeftInARawDataFile() throws Exception {
        long zeroed = failToWriteInARawDataFile();

        assertThat(write(zeroed + SECTOR_BYTES, SECTOR_BYTES, 1)).isZero();

        Path dump = world.dump();
        assertThat(byteAt(zeroed, dump)).isZero();
        assertThat(byteAt(zeroed + SECTOR_BYTES, dump)).isEqualTo((byte) 1);
    }

    @Test
    void shouldEraseWhatAFailedWriteLeftInARawDataFile() throws Exception {
        long zeroed = failToWriteInARawDataFile();

        int erased = loop.run(() -> changes.eraser().writeZeroes(zeroed, CLUSTER_BYTES, false, false));

        assertThat(erased).isZero();
        world.dump();
        assertThat(Files.readAllBytes(world.dataImage)[(int) zeroed]).isZero();
    }

    private long failToWriteInARawDataFile() throws Exception {
        open(new Kind("cluster_size=4096", 2 << 20, false, true, DataFile.RAW));
        long zeroed = zeroedCluster();
        world.disk.failAfter(0); // the first call for the entry, when the data is there
        assertThat(write(zeroed, 2 * SECTOR_BYTES, 7)).isEqualTo(-Errno.EIO);
        world.dump();
        assertThat(Files.readAllBytes(world.dataImage)[(int) zeroed]).isEqualTo((byte) 7);
        return zeroed;
    }

    /** A cluster whose entry says that it is zeroes. */
    private long zeroedCluster() {
        L2Entry entry = new L2Entry();
        for (long at = 0; at < world.kind.sizeBytes(); at += CLUSTER_BYTES) {
            long offset = at;
            assertThat(loop.run(() -> world.writable.cache.load(file, offset))).isZero();
            L2Slice slice = Objects.requireNonNull(world.writable.cache.find(at));
            slice.read(world.writable.cache.entryIndex(at), entry);
            if ((entry.entry & Qcow2Layout.OFLAG_ZERO) != 0) {
                return at;
            }
        }
        throw new AssertionError("qemu-io has zeroed no whole cluster");
    }

    @Test
    void shouldTellAnErrorOfTheFileFromATableThatMakesNoSense() throws Exception {
        openPlain();
        assertThat(write(0, SECTOR_BYTES, 1)).isZero();
        L2Cache empty = new L2Cache(world.header, world.writable.l1, 0);
        ClusterMap map = new ClusterMap(world.header, world.writable.l1, empty);
        world.disk.failAfter(0);

        int result = loop.run(() -> map.find(file, 0, SECTOR_BYTES, new MappedRun()));

        assertThat(result).isEqualTo(-Errno.EIO).isNotEqualTo(ClusterMap.CORRUPT);
    }

    private int write(long offset, int bytes, int value) {
        byte[] content = new byte[bytes];
        Arrays.fill(content, (byte) value);
        try (TestVector vector = TestVector.of(bytes)) {
            vector.put(content);
            return loop.run(() -> changes.writer().writev(offset, vector.iov(), vector.count(), bytes, false));
        }
    }

    private byte byteAt(long offset, Path dump) throws Exception {
        Path raw = directory.resolve("dump.raw");
        Shell.check("qemu-img", "convert", "-f", "qcow2", "-O", "raw", dump.toString(), raw.toString());
        return Files.readAllBytes(raw)[(int) offset];
    }
}
