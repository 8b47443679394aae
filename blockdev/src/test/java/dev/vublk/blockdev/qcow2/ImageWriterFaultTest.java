// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.qcow2.WriteWorld.Kind;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What one failed call of the file leaves, step by step. */
@SuppressWarnings("NullAway.Init") // openImage() sets it up
class ImageWriterFaultTest {
    private static final int SECTOR_BYTES = 512;
    private static final int CLUSTER_BYTES = 4096;

    @TempDir
    Path directory;

    private WriteWorld world;
    private PlainLoop loop;
    private MetadataFile file;
    private ImageChanges changes;

    @BeforeEach
    void openImage() throws Exception {
        Shell.assumeProgram("qemu-img");
        world = new WriteWorld(directory, new Kind("cluster_size=4096", 2 << 20, false, false), 1);
        world.open(1 << 20);
        loop = PlainLoop.withoutRing();
        file = world.disk.on(loop);
        PlainReader reader = new PlainReader(world.writable, file, file, new byte[0]);
        changes = new ImageChanges(world.writable, 0, file, file, reader);
    }

    /** The entry that a failed write left in the file comes back when its slice is forgotten, or after a kill. */
    @Test
    void shouldNotTakeForZeroesWhatAFailedWriteMayHaveLeftInTheFile() throws Exception {
        assertThat(write(CLUSTER_BYTES, SECTOR_BYTES, 1)).isZero();
        world.disk.failAfter(1); // the data is written, and so are the entries, but that call fails
        assertThat(write(0, 2 * SECTOR_BYTES, 7)).isEqualTo(-Errno.EIO);

        int zeroed = loop.run(() -> changes.eraser().writeZeroes(0, SECTOR_BYTES, false, false));

        assertThat(zeroed).isZero();
        assertThat(firstByte(world.dump())).isZero();
    }

    @Test
    void shouldTellAnErrorOfTheFileFromATableThatMakesNoSense() {
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

    private byte firstByte(Path dump) throws Exception {
        Path raw = directory.resolve("dump.raw");
        Shell.check("qemu-img", "convert", "-f", "qcow2", "-O", "raw", dump.toString(), raw.toString());
        return Files.readAllBytes(raw)[0];
    }
}
