// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Starting and stopping the whole. */
final class EmulatorTest {
    @TempDir
    Path directory;

    private DiskConfig disk(String image, String socket) {
        return new DiskConfig(
                BlockOptions.of(image),
                ListenerOptions.atPath(directory.resolve(socket).toString()),
                EmulatorUnderTest.SETTINGS);
    }

    private static EmulatorConfig config(DiskConfig... disks) {
        return new EmulatorConfig(List.of(disks), 2, List.of(), 1, 2);
    }

    private static void startAndClose(EmulatorConfig config) throws IOException {
        Emulator emulator = new Emulator(config);
        emulator.start();
        emulator.close();
    }

    @Test
    void shouldGiveEverythingBack() throws Exception {
        EmulatorConfig config = config(disk("null:1MiB", "a.sock"), disk("null:1MiB", "b.sock"));
        startAndClose(config);
        ProcessResources before = ProcessResources.now();
        for (int i = 0; i < 20; i++) {
            startAndClose(config);
        }
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void shouldLeaveNothingBehindWhenADiskCannotBeOpened() throws Exception {
        startAndClose(config(disk("null:1MiB", "a.sock")));
        ProcessResources before = ProcessResources.now();
        Emulator emulator = new Emulator(config(disk("null:1MiB", "a.sock"), disk("/nonexistent/image", "b.sock")));
        assertThatThrownBy(emulator::start)
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("/nonexistent/image");
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void shouldLeaveNothingBehindWhenASocketCannotBeBound() throws Exception {
        startAndClose(config(disk("null:1MiB", "a.sock")));
        Path image = directory.resolve("disk.img");
        Files.write(image, new byte[1 << 20]);
        ProcessResources before = ProcessResources.now();
        Emulator emulator = new Emulator(config(disk("null:1MiB", "a.sock"), disk(image.toString(), "missing/b.sock")));
        assertThatThrownBy(emulator::start).isInstanceOf(IOException.class);
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
        assertThat(directory.resolve("a.sock")).doesNotExist();
        // The image is free again.
        startAndClose(config(disk(image.toString(), "b.sock")));
    }

    @Test
    void shouldLeaveNothingBehindWhenAThreadCannotStart() throws Exception {
        startAndClose(config(disk("null:1MiB", "a.sock")));
        ProcessResources before = ProcessResources.now();
        EmulatorConfig config = new EmulatorConfig(
                List.of(disk("null:1MiB", "a.sock")), 2, List.of(CpuAffinity.of(0), CpuAffinity.of(8191)), 1, 2);
        Emulator emulator = new Emulator(config);
        assertThatThrownBy(emulator::start).isInstanceOf(IOException.class);
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void shouldCompleteServedWhenClosed() throws Exception {
        Emulator emulator = new Emulator(config(disk("null:1MiB", "a.sock")));
        emulator.start();
        var served = emulator.served();
        assertThat(served).isNotDone();
        emulator.close();
        emulator.close();
        served.get(20, TimeUnit.SECONDS);
    }

    /** The listeners of so many disks wait on one control loop, which may have fewer coroutines than that. */
    @Test
    void shouldServeMoreDisksThanTheControlLoopHasCoroutines() throws Exception {
        DiskConfig[] disks = new DiskConfig[40];
        for (int i = 0; i < disks.length; i++) {
            disks[i] = disk("null:1MiB", i + ".sock");
        }
        try (Emulator emulator = new Emulator(config(disks), new GlobalCoroutinePool(4, 1), BlockDrivers::open)) {
            emulator.start();
            for (DiskConfig disk : disks) {
                try (Guest guest = Guest.connect(requireNonNull(disk.listener().path()), 0)) {
                    assertThat(guest.queue().run(GuestRequest.read(0, 512)).status())
                            .isEqualTo(GuestRequest.OK);
                }
            }
        }
        assertThat(directory).isEmptyDirectory();
    }
}
