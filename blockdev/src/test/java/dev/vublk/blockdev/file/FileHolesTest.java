// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.testing.PlainLoop;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileHolesTest {
    private static final int PIECE_BYTES = 64 << 10;
    private static final int PIECES = 12;
    private static final Set<Integer> HOLES = Set.of(3, 4, 9);

    @TempDir
    Path directory;

    @Test
    void shouldTellHolesInAnyOrderAndAskOnceForEachRunOfData() throws Exception {
        Path image = directory.resolve("image.raw");
        try (FileChannel out = FileChannel.open(
                image, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.SPARSE)) {
            for (int piece = 0; piece < PIECES; piece++) {
                if (!HOLES.contains(piece)) {
                    out.write(ByteBuffer.wrap(new byte[PIECE_BYTES]), (long) piece * PIECE_BYTES);
                }
            }
        }
        PlainLoop loop = PlainLoop.withoutRing();
        try (ContainerFile file = ContainerFile.open(BlockOptions.of(image.toString()));
                ContainerChannel channel = file.openChannel(loop)) {
            int before = loop.callCount();
            for (int piece : new int[] {5, 6, 8, 7, 5}) {
                assertThat(isData(loop, channel, piece)).as("piece %d", piece).isTrue();
            }
            assertThat(loop.callCount() - before).isEqualTo(1);
            for (int piece : new int[] {0, 3, 1, 4, 9, 11, 9, 10, 2, 8, 4}) {
                assertThat(isData(loop, channel, piece)).as("piece %d", piece).isEqualTo(!HOLES.contains(piece));
            }
        }
    }

    private static boolean isData(PlainLoop loop, ContainerChannel channel, int piece) {
        BlockStatus status = new BlockStatus();
        assertThat(loop.run(() -> channel.status((long) piece * PIECE_BYTES, PIECE_BYTES, status)))
                .isZero();
        assertThat(status.lengthBytes).isEqualTo(PIECE_BYTES);
        return status.data;
    }
}
