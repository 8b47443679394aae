// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FaultyDirectoryTest {
    @TempDir
    private Path directory;

    @Test
    void shouldBeAFileSystem() throws Exception {
        byte[] content = new byte[3 << 20];
        new Random(1).nextBytes(content);
        try (FaultyDirectory faulty = FaultyDirectory.mount(directory)) {
            Path a = Files.write(directory.resolve("a"), content);
            Path b = directory.resolve("b");
            Files.copy(a, b);
            Files.createLink(directory.resolve("c"), a);
            Files.move(a, b, StandardCopyOption.ATOMIC_MOVE);
            assertThat(b).hasBinaryContent(content);
            try (FileChannel file = FileChannel.open(b, StandardOpenOption.WRITE)) {
                file.truncate(5000);
                file.write(ByteBuffer.wrap(new byte[] {7}), 9000);
                file.force(true);
            }
            assertThat(Files.size(b)).isEqualTo(9001);
            assertThat(faulty.files()).containsExactly("b", "c");
            try (var files = Files.list(directory)) {
                assertThat(files).containsExactlyInAnyOrder(b, directory.resolve("c"));
            }
            assertThat(faulty.content("c")).isEqualTo(faulty.content("b")).startsWith(content[0], content[1]);
            Files.delete(b);
            assertThat(faulty.files()).containsExactly("c");
        }
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void shouldFailWhereItIsToldTo() throws Exception {
        try (FaultyDirectory faulty = FaultyDirectory.mount(directory)) {
            Path image = faulty.put("image", new byte[1 << 20]);
            faulty.fail(FaultRule.of(FileCall.READ)
                    .on("image")
                    .at(8192, 12288)
                    .after(1)
                    .times(1));
            try (FileChannel file = FileChannel.open(image, StandardOpenOption.READ)) {
                ByteBuffer page = ByteBuffer.allocate(4096);
                assertThat(file.read(page, 4096)).isEqualTo(4096);
                assertThat(file.read(page.clear(), 8192)).isEqualTo(4096);
                assertThatThrownBy(() -> file.read(page.clear(), 8192))
                        .isInstanceOf(IOException.class)
                        .hasMessage("Input/output error");
                assertThat(file.read(page.clear(), 8192)).isEqualTo(4096);
            }
            assertThat(faulty.failures()).isEqualTo(1);
            faulty.fail(FaultRule.of(FileCall.RENAME));
            assertThatThrownBy(() -> Files.move(image, directory.resolve("other")))
                    .hasMessageContaining("Input/output error");
            faulty.heal();
            Files.move(image, directory.resolve("other"));
        }
    }
}
