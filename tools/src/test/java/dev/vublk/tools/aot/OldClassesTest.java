// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.aot;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class OldClassesTest {
    private static final int JAVA_8 = 52;

    @TempDir
    private Path directory;

    private static Path jarOf(Class<?> type) throws Exception {
        return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
    }

    private Path copyOf(Class<?> type) throws Exception {
        Path copy = directory.resolve("copy.jar");
        new OldClasses(getClass().getClassLoader()).copy(jarOf(type), copy);
        return copy;
    }

    @Test
    void shouldFindJarsOfJava5Only() throws Exception {
        assertThat(OldClasses.hasOldClasses(jarOf(CommandLine.class))).isTrue();
        assertThat(OldClasses.hasOldClasses(jarOf(Test.class))).isFalse();
    }

    @Test
    void shouldUpdateEveryClassSoThatItVerifies() throws Exception {
        Path copy = copyOf(CommandLine.class);

        List<String> names;
        try (JarFile jar = new JarFile(copy.toFile())) {
            for (ZipEntry entry : Collections.list(jar.entries())) {
                if (entry.getName().endsWith(".class") && !entry.getName().endsWith("module-info.class")) {
                    try (InputStream in = jar.getInputStream(entry)) {
                        assertThat(in.readNBytes(8)[7]).as(entry.getName()).isEqualTo((byte) JAVA_8);
                    }
                }
            }
            names = Collections.list(jar.entries()).stream()
                    .map(ZipEntry::getName)
                    .filter(name -> name.startsWith("picocli/CommandLine") && name.endsWith(".class"))
                    .map(name ->
                            name.substring(0, name.length() - ".class".length()).replace('/', '.'))
                    .toList();
        }
        assertThat(names).hasSizeGreaterThan(100);
        // Nothing of the test's own class path: a class of the original would hide a broken copy.
        try (URLClassLoader loader =
                new URLClassLoader(new URL[] {copy.toUri().toURL()}, ClassLoader.getPlatformClassLoader())) {
            for (String name : names) {
                // Verifies.
                assertThat(Class.forName(name, true, loader).getClassLoader()).isSameAs(loader);
            }
        }
    }

    @Test
    void shouldKeepWhatIsNoClass() throws Exception {
        Path copy = copyOf(CommandLine.class);

        try (JarFile original = new JarFile(jarOf(CommandLine.class).toFile());
                JarFile copied = new JarFile(copy.toFile())) {
            assertThat(Collections.list(copied.entries()).stream().map(ZipEntry::getName))
                    .containsExactlyElementsOf(Collections.list(original.entries()).stream()
                            .map(ZipEntry::getName)
                            .toList());
            assertThat(copied.getManifest()).isEqualTo(original.getManifest());
        }
    }

    @Test
    void shouldLeaveAClassAloneThatCannotBeUpdated() throws Exception {
        byte[] bytes;
        try (JarFile jar = new JarFile(jarOf(CommandLine.class).toFile());
                InputStream in = jar.getInputStream(jar.getEntry("picocli/CommandLine.class"))) {
            bytes = in.readAllBytes();
        }
        byte[] truncated = Arrays.copyOf(bytes, bytes.length / 2);

        assertThat(new OldClasses(getClass().getClassLoader()).updated(truncated))
                .isEqualTo(truncated);
    }
}
