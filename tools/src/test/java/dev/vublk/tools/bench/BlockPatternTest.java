// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BlockPatternTest {
    private static final long SEED = 42;

    @ParameterizedTest
    @ValueSource(ints = {512, 4096})
    void shouldNoticeEveryByte(int blockBytes) {
        try (Arena arena = Arena.ofConfined()) {
            long block = arena.allocate(blockBytes, 8).address();
            BlockPattern pattern = new BlockPattern(blockBytes, SEED);
            pattern.fill(block, 17, 3);
            assertThat(pattern.wrongByte(block, 17, 3)).isEqualTo(-1);
            for (int i = 0; i < blockBytes; i++) {
                HostMemory.putByte(block + i, (byte) (HostMemory.getByte(block + i) ^ 1));
                assertThat(pattern.wrongByte(block, 17, 3)).as("byte %d", i).isEqualTo(i);
                HostMemory.putByte(block + i, (byte) (HostMemory.getByte(block + i) ^ 1));
            }
        }
    }

    @Test
    void shouldTellBlocksGenerationsAndSeedsApart() {
        try (Arena arena = Arena.ofConfined()) {
            long block = arena.allocate(512, 8).address();
            BlockPattern pattern = new BlockPattern(512, SEED);
            assertThat(pattern.describe(block)).isEqualTo("it holds zeroes");
            pattern.fill(block, 17, 3);
            assertThat(pattern.wrongByte(block, 18, 3)).isEqualTo(8);
            assertThat(pattern.wrongByte(block, 17, 2)).isEqualTo(16);
            assertThat(new BlockPattern(512, SEED + 1).wrongByte(block, 17, 3))
                    .isLessThan(8)
                    .isNotNegative();
            assertThat(pattern.describe(block)).isEqualTo("it holds block 17 of generation 3, undamaged");
            assertThat(new BlockPattern(512, SEED + 1).describe(block))
                    .isEqualTo("it holds nothing that was written here");
        }
    }
}
