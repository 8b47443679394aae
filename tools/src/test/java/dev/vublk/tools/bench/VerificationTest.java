// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class VerificationTest {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 512;

    @TempDir
    private Path directory;

    private String image() throws IOException {
        Path image = directory.resolve("disk.img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength((long) BLOCK * BLOCKS);
        }
        return image.toString();
    }

    private static BenchOptions.Builder options(BenchBackend backend) {
        return BenchOptions.builder(backend.socket())
                .workload(Workload.VERIFY)
                .blockBytes(BLOCK)
                .ioDepth(8)
                .queues(2);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldFindEverythingRightForOneSecond(boolean packed) throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, image())) {
            String done = new Verification(
                            options(backend).packed(packed).timeSeconds(1).build())
                    .run(count -> {});
            assertThat(done).contains("blocks written").contains("found right");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldFindRandomOverwritesRightWithASleepingClientAndIndirectTables(boolean packed) throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, image())) {
            BenchOptions options = options(backend)
                    .workload(Workload.RANDVERIFY)
                    .timeSeconds(0.3)
                    .event(true)
                    .indirect(true)
                    .packed(packed)
                    .build();
            assertThatCode(() -> new Verification(options).run(count -> {})).doesNotThrowAnyException();
        }
    }

    @Test
    void shouldVerifyRequestsOfManySegments() throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, image())) {
            // Twice what the emulator takes in one descriptor (size_max).
            BenchOptions options =
                    options(backend).blockBytes(2 << 20).timeSeconds(0.01).build();
            assertThatCode(() -> new Verification(options).run(count -> {})).doesNotThrowAnyException();
        }
    }

    @Test
    void shouldNameTheFirstBlockThatSomebodyChanged() throws IOException {
        String image = image();
        try (BenchBackend backend = BenchBackend.start(directory, image)) {
            BenchOptions options = options(backend).timeSeconds(0.01).build();
            Verification verification = new Verification(options, () -> {
                flipByte(image, 300 * BLOCK);
                flipByte(image, 77 * BLOCK + 1234);
            });
            assertThatThrownBy(() -> verification.run(count -> {}))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("block 77 at offset " + 77 * BLOCK + " is wrong from its byte 1234 on")
                    .hasMessageContaining("its checksum is wrong")
                    .hasMessageContaining("2 blocks are wrong");
        }
    }

    @Test
    void shouldTellWhatAMisplacedBlockIs() throws IOException {
        String image = image();
        try (BenchBackend backend = BenchBackend.start(directory, image)) {
            BenchOptions options = options(backend).timeSeconds(0.01).build();
            Verification verification = new Verification(options, () -> copyBlock(image, 5, 6));
            assertThatThrownBy(() -> verification.run(count -> {}))
                    .hasMessageContaining("block 6 at offset " + 6 * BLOCK)
                    .hasMessageContaining("it holds block 5 of generation 1, undamaged");
        }
    }

    @Test
    void shouldRefuseADiskThatStoresNothing() throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, "null:2MiB")) {
            BenchOptions options = options(backend).timeSeconds(0.01).build();
            assertThatThrownBy(() -> new Verification(options).run(count -> {}))
                    .hasMessageContaining("block 0 at offset 0 is wrong");
        }
    }

    private static void flipByte(String image, long offset) {
        try (RandomAccessFile file = new RandomAccessFile(image, "rw")) {
            file.seek(offset);
            int value = file.read();
            file.seek(offset);
            file.write(value ^ 0x40);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void copyBlock(String image, int source, int target) {
        try (RandomAccessFile file = new RandomAccessFile(image, "rw")) {
            byte[] block = new byte[BLOCK];
            file.seek((long) source * BLOCK);
            file.readFully(block);
            file.seek((long) target * BLOCK);
            file.write(block);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
