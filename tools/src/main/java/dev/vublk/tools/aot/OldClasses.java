// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.aot;

import java.io.IOException;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.ClassHierarchyResolverOption;
import java.lang.classfile.ClassFile.ConstantPoolSharingOption;
import java.lang.classfile.ClassFile.StackMapsOption;
import java.lang.classfile.ClassFileVersion;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Copies of libraries whose class files are of Java 5, in the format of Java 8: the virtual machine keeps no older classes in its
 * cache, and verifies them slowly, as they come without the types that their code has on the stack. Those are worked out here.
 * One thread.
 */
public final class OldClasses {
    /** The first version whose classes can be kept: they have stack maps. */
    private static final int FIRST_KEPT_VERSION = ClassFile.JAVA_6_VERSION;

    /** In a class file: magic u4, minor_version u2, major_version u2. */
    private static final int MAJOR_VERSION = 6;

    /** Times would make every copy another one: the earliest that a zip file knows of without a time zone. */
    private static final long ENTRY_TIME_MS = 315_619_200_000L; // 1980-01-02

    private final ClassFile classFile;

    /** @param loader knows the classes and what they extend */
    OldClasses(ClassLoader loader) {
        classFile = ClassFile.of(
                // Methods that are copied as they are would have no stack maps.
                ConstantPoolSharingOption.NEW_POOL,
                StackMapsOption.GENERATE_STACK_MAPS,
                ClassHierarchyResolverOption.of(ClassHierarchyResolver.ofResourceParsing(loader)));
    }

    /** {@code OldClasses LIBRARIES COPIES}: copies from one directory to another those jars that need it. */
    public static void main(String[] args) throws IOException {
        OldClasses old = new OldClasses(OldClasses.class.getClassLoader());
        Path copies = Files.createDirectories(Path.of(args[1]));
        List<Path> jars;
        try (Stream<Path> files = Files.list(Path.of(args[0]))) {
            jars = files.filter(file -> file.toString().endsWith(".jar"))
                    .sorted()
                    .toList();
        }
        for (Path jar : jars) {
            if (hasOldClasses(jar)) {
                old.copy(jar, copies.resolve(jar.getFileName()));
            }
        }
    }

    /** Whether a copy would start faster. A signed jar stays what its author has made. */
    static boolean hasOldClasses(Path jar) throws IOException {
        boolean found = false;
        try (ZipFile zip = new ZipFile(jar.toFile())) {
            for (ZipEntry entry : Collections.list(zip.entries())) {
                if (entry.getName().startsWith("META-INF/") && entry.getName().endsWith(".SF")) {
                    return false;
                }
                found |= isOld(entry, zip.getInputStream(entry).readNBytes(MAJOR_VERSION + 2));
            }
        }
        return found;
    }

    /** Makes the copy, not compressed; what is no old class is in it as it was. */
    void copy(Path jar, Path copy) throws IOException {
        try (ZipFile zip = new ZipFile(jar.toFile());
                ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(copy))) {
            out.setLevel(0);
            for (ZipEntry entry : Collections.list(zip.entries())) {
                byte[] bytes = zip.getInputStream(entry).readAllBytes();
                ZipEntry copied = new ZipEntry(entry.getName());
                copied.setTime(ENTRY_TIME_MS);
                out.putNextEntry(copied);
                out.write(isOld(entry, bytes) ? updated(bytes) : bytes);
                out.closeEntry();
            }
        }
    }

    private static boolean isOld(ZipEntry entry, byte[] bytes) {
        return entry.getName().endsWith(".class")
                && bytes.length > MAJOR_VERSION + 1
                && ((bytes[MAJOR_VERSION] & 0xff) << 8 | (bytes[MAJOR_VERSION + 1] & 0xff)) < FIRST_KEPT_VERSION;
    }

    /** The same class; as it was when it cannot be told what it has on the stack. */
    byte[] updated(byte[] bytes) {
        try {
            return classFile.transformClass(classFile.parse(bytes), OldClasses::update);
        } catch (IllegalArgumentException e) {
            return bytes; // It has jsr instructions, or extends a class that is not there.
        }
    }

    private static void update(ClassBuilder builder, ClassElement element) {
        switch (element) {
            case ClassFileVersion version -> builder.withVersion(ClassFile.JAVA_8_VERSION, 0);
            case MethodModel method ->
                builder.transformMethod(method, MethodTransform.transformingCode(CodeTransform.ACCEPT_ALL));
            default -> builder.with(element);
        }
    }
}
