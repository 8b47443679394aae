// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Who may import whom: tools over emulator over the siblings vhost-user and blockdev. */
@AnalyzeClasses(packages = "dev.vublk", importOptions = DoNotIncludeTests.class)
class ArchitectureTest {
    private static final String VHOST_USER = "dev.vublk.vhostuser..";
    private static final String BLOCKDEV = "dev.vublk.blockdev..";
    private static final String EMULATOR = "dev.vublk.emulator..";
    private static final String TOOLS = "dev.vublk.tools..";

    @ArchTest
    static final ArchRule VHOST_USER_SEES_ONLY_ITSELF = noClasses()
            .that()
            .resideInAPackage(VHOST_USER)
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(BLOCKDEV, EMULATOR, TOOLS, "io.netty..");

    @ArchTest
    static final ArchRule BLOCKDEV_SEES_ONLY_ITSELF = noClasses()
            .that()
            .resideInAPackage(BLOCKDEV)
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(VHOST_USER, EMULATOR, TOOLS, "io.netty..");

    @ArchTest
    static final ArchRule NOBODY_SEES_TOOLS = noClasses()
            .that()
            .resideInAPackage(EMULATOR)
            .should()
            .dependOnClassesThat()
            .resideInAPackage(TOOLS);

    @ArchTest
    static final ArchRule NATIVE_CALLS_ONLY_IN_LINUX_PACKAGES = noClasses()
            .that()
            .resideOutsideOfPackage("dev.vublk..linux")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("jnr.ffi..");

    @ArchTest
    static final ArchRule ONE_FILE_KNOWS_THE_LINKER = noClasses()
            .that()
            .doNotHaveFullyQualifiedName("dev.vublk.blockdev.linux.NativeFunction")
            .should()
            .dependOnClassesThat()
            .haveFullyQualifiedName("java.lang.foreign.Linker");

    @ArchTest
    static final ArchRule ONE_FILE_KNOWS_CONTINUATIONS = classes()
            .that()
            .resideInAPackage("dev.vublk..")
            .and()
            .doNotHaveFullyQualifiedName("dev.vublk.emulator.coroutine.Coroutine")
            .should()
            .onlyDependOnClassesThat()
            .resideOutsideOfPackage("jdk.internal..");

    @ArchTest
    static final ArchRule RINGS_KNOW_NO_SOCKETS = noClasses()
            .that()
            .resideInAnyPackage("dev.vublk.vhostuser.virtqueue", "dev.vublk.vhostuser.memory")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("dev.vublk.vhostuser.socket", "dev.vublk.vhostuser.session");

    @ArchTest
    static final ArchRule PROTOCOL_IS_BYTES_AND_VALUES = noClasses()
            .that()
            .resideInAPackage("dev.vublk.vhostuser.protocol")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                    "dev.vublk.vhostuser.socket",
                    "dev.vublk.vhostuser.session",
                    "dev.vublk.vhostuser.memory",
                    "dev.vublk.vhostuser.linux");

    @ArchTest
    static final ArchRule DRIVERS_DO_NOT_KNOW_EACH_OTHER = slices().matching("dev.vublk.blockdev.(*)..")
            .namingSlices("driver $1")
            .should()
            .beFreeOfCycles();
}
