// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.nullblk;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestVector;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class NullBlockDriverTest {

    @Test
    void shouldCompleteAtOnceAndLeaveBuffersAlone() throws BlockOpenException {
        try (TestDisk disk = new TestDisk(BlockOptions.of("null:64MiB"), PlainLoop.withoutRing());
                TestVector vector = TestVector.of(4)) {
            vector.put("keep".getBytes(UTF_8));
            assertThat(disk.write(0, vector, true)).isZero();
            assertThat(disk.read(0, vector)).isZero();
            assertThat(new String(vector.get(), UTF_8)).isEqualTo("keep");
            assertThat(disk.flush()).isZero();
            assertThat(disk.discard(0, 512)).isZero();
            assertThat(disk.writeZeroes(0, 512, true, true)).isZero();
            assertThat(disk.loop.callCount()).isZero();
        }
    }

    @Test
    void shouldRefuseWritesWhenReadOnly() throws BlockOpenException {
        BlockOptions options = BlockOptions.of("null:1M").withReadOnly(true);
        try (TestDisk disk = new TestDisk(options, PlainLoop.withoutRing())) {
            assertThat(disk.driver.limits().readOnly()).isTrue();
            assertThat(disk.write(0, new byte[512], false)).isEqualTo(-Errno.EROFS);
            assertThat(disk.discard(0, 512)).isEqualTo(-Errno.EROFS);
            assertThat(disk.writeZeroes(0, 512, false, false)).isEqualTo(-Errno.EROFS);
        }
    }

    @ParameterizedTest
    @CsvSource({"null:512,512", "null:64K,65536", "null:64MiB,67108864", "null:3g,3221225472", "null:1T,1099511627776"})
    void shouldUnderstandSizes(String image, long sizeBytes) throws BlockOpenException {
        try (BlockDriver driver = BlockDrivers.open(BlockOptions.of(image))) {
            assertThat(driver.limits().sizeBytes()).isEqualTo(sizeBytes);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"null:", "null:0", "null:511", "null:-512", "null:64X", "null:MiB", "null:9999999999T"})
    void shouldRefuseSizesThatAreNone(String image) {
        assertThatThrownBy(() -> BlockDrivers.open(BlockOptions.of(image)))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageStartingWith(image + ": ");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 256, 513, 131072})
    void shouldRefuseBlockSizesThatVirtioCannotSay(int bytes) {
        BlockOptions options = BlockOptions.of("null:1M").withLogicalBlockBytes(bytes);
        assertThatThrownBy(() -> BlockDrivers.open(options))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("logical block size " + bytes);
    }
}
