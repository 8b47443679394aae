// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vublk.vhostuser.linux.UserFault;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A QEMU guest is moved to another QEMU process and back while fio writes and verifies; both sides serve one image. */
@ExtendWith(GuestRequirements.class)
class QemuMigrationIT {
    private static final int MOVES = 2;

    @TempDir
    private Path directory;

    private Path image = Path.of("");
    private Path from = Path.of("");
    private Path to = Path.of("");

    @BeforeEach
    void makeImage() throws Exception {
        image = DiskImages.sparse(directory, "disk.img", 256 * DiskImages.MIB);
        from = directory.resolve("from.sock");
        to = directory.resolve("to.sock");
    }

    private void moveGuest(boolean packed, String diskOptions) throws Exception {
        moveGuest(packed, diskOptions, false);
    }

    private void moveGuest(boolean packed, String diskOptions, boolean postcopy) throws Exception {
        String printed = Guest.migrating("migrate", from, to)
                .withPackedRings(packed)
                .with("GUEST_MOVES", String.valueOf(MOVES))
                .with("GUEST_POSTCOPY", postcopy ? "1" : "0")
                .withScriptEnvironment("MOVES=" + MOVES)
                .with("GUEST_DISK_OPTIONS", diskOptions)
                .succeeds();
        assertThat(printed).contains("passes of fio, " + MOVES + " moves");
    }

    /** Split and packed: where a ring stands is told in another way, and what the device writes in it lies elsewhere. */
    static boolean[] ringsBetweenProcesses() {
        return PackedRings.either();
    }

    @ParameterizedTest(name = "packed: {0}")
    @MethodSource("ringsBetweenProcesses")
    void shouldMoveAGuestBetweenTwoProcesses(boolean packed) throws Exception {
        try (VublkProcess source = VublkProcess.export(directory, 1, image.toString(), "--socket", from.toString());
                VublkProcess destination = VublkProcess.export(
                        directory, 1, image.toString(), "--socket", to.toString(), "--locking", "deferred")) {
            moveGuest(packed, "num-queues=2");
            source.stop(from);
            destination.stop(to);
        }
    }

    /** It runs in the new process before its memory is there: what its requests need of that is waited for. */
    @Test
    void shouldMoveAGuestBeforeItsMemory() throws Exception {
        assumeTrue(UserFault.isAvailable(), "the kernel does not permit userfaultfd here");
        try (VublkProcess source = VublkProcess.export(directory, 1, image.toString(), "--socket", from.toString());
                VublkProcess destination = VublkProcess.export(
                        directory, 1, image.toString(), "--socket", to.toString(), "--locking", "deferred")) {
            moveGuest(PackedRings.chosen() == PackedRings.ALWAYS, "num-queues=2", true);
            assertThat(source.logText() + destination.logText())
                    .containsPattern("postcopy migration: [1-9][0-9]* pages were waited for");
            source.stop(from);
            destination.stop(to);
        }
    }

    @Test
    void shouldMoveAGuestInsideOneProcess() throws Exception {
        String disk = "image=" + image + ",cache=none,socket=";
        try (VublkProcess vublk = VublkProcess.export(
                directory, 2, "--iothreads", "2", "--disk", disk + from, "--disk", disk + to + ",locking=deferred")) {
            moveGuest(PackedRings.chosen() != PackedRings.NEVER, "num-queues=2,event_idx=off");
            vublk.stop(from, to);
        }
    }
}
