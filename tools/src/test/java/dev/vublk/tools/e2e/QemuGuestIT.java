// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** QEMU guests on disks that vublk serves: firmware and Linux drive each disk, with several queues. */
@ExtendWith(GuestRequirements.class)
class QemuGuestIT {
    @TempDir
    private Path directory;

    private Path socket = Path.of("");
    private Path image = Path.of("");

    @BeforeEach
    void makeImage() throws Exception {
        socket = directory.resolve("disk.sock");
        image = DiskImages.sparse(directory, "disk.img", 1024 * DiskImages.MIB);
    }

    private VublkProcess export(String... more) throws Exception {
        String[] arguments = new String[more.length + 3];
        arguments[0] = image.toString();
        arguments[1] = "--socket";
        arguments[2] = socket.toString();
        System.arraycopy(more, 0, arguments, 3, more.length);
        return VublkProcess.export(directory, 1, arguments);
    }

    @Test
    void shouldBootFirmwareFromTheDisk() throws Exception {
        DiskImages.run(Checkout.guestScript("seabios-boot.sh"), "--image", image.toString());
        try (VublkProcess vublk = export()) {
            Guest.script("seabios-boot.sh", socket.toString()).succeeds();
            vublk.stop(socket);
        }
    }

    @Test
    void shouldCarryFileSystemsOnFourQueuesAndTwoIOThreads() throws Exception {
        try (VublkProcess vublk = export("--iothreads", "2", "--cache", "none")) {
            Guest.qemu("filesystem", socket)
                    .with("GUEST_SMP", "4")
                    .with("GUEST_DISK_OPTIONS", "num-queues=4")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "num-queues=4",
                "num-queues=2,event_idx=off",
                "num-queues=2,indirect_desc=off",
                "num-queues=2,queue-size=1024,config-wce=off"
            })
    void shouldVerifyWhatFioWrote(String diskOptions) throws Exception {
        try (VublkProcess vublk = export("--iothreads", "2")) {
            Guest.qemu("fio-verify", socket)
                    .with("GUEST_SMP", "4")
                    .with("GUEST_DISK_OPTIONS", diskOptions)
                    .succeeds();
            vublk.stop(socket);
        }
    }

    /** The firmware, which knows split rings only, and then Linux on the same connection. */
    @ParameterizedTest
    @ValueSource(strings = {"num-queues=4", "num-queues=2,event_idx=off", "num-queues=2,indirect_desc=off"})
    void shouldServePackedRings(String diskOptions) throws Exception {
        try (VublkProcess vublk = export("--iothreads", "2", "--packed", "on")) {
            String probed = Guest.qemu("probe", socket)
                    .with("GUEST_DISK_OPTIONS", diskOptions)
                    .withPackedRings(true)
                    .succeeds();
            assertThat(probed).contains(" RING_PACKED");
            Guest.qemu("fio-verify", socket)
                    .with("GUEST_SMP", "4")
                    .with("GUEST_DISK_OPTIONS", diskOptions)
                    .withPackedRings(true)
                    .succeeds();
            vublk.stop(socket);
        }
    }

    /**
     * In strict mode every request has addresses of its own, which become invalid with its end. In lazy mode everything becomes
     * invalid now and then, rings too; and a ring of 1024 descriptors lies in scattered pages.
     */
    @ParameterizedTest
    @CsvSource({"DMA, iommu.strict=1, false, 128", "DMA-FQ, iommu.strict=0, true, 1024"})
    void shouldServeThroughTheGuestsIommu(String domain, String mode, boolean packed, int size) throws Exception {
        try (VublkProcess vublk = export("--access-platform", "--iothreads", "2", "--packed", "on")) {
            Guest.qemu("iommu", socket)
                    .with("GUEST_APPEND", "intel_iommu=on " + mode)
                    .with("GUEST_DISK_OPTIONS", "num-queues=2,iommu_platform=on,ats=on,queue-size=" + size)
                    .withPackedRings(packed)
                    .withScriptEnvironment("DOMAIN=" + domain)
                    .withQemuArguments("-device", "intel-iommu,intremap=off,device-iotlb=on")
                    .succeeds();
            vublk.stop(socket);
            Matcher used = Pattern.compile("asked for (\\d+) translations; \\d+ updates, (\\d+) invalidations")
                    .matcher(vublk.logText());
            assertThat(used.find()).as(vublk::logText).isTrue();
            assertThat(Integer.parseInt(used.group(1))).isGreaterThan(1000);
            assertThat(Integer.parseInt(used.group(2))).isGreaterThan(20);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--fd-monitor epoll",
                "--fd-monitor poll",
                "--poll-max-ns 0",
                "--poll-max-ns 1000000 --poll-shrink 2"
            })
    void shouldServeHoweverTheLoopWaits(String options) throws Exception {
        List<String> all = new ArrayList<>(List.of("--iothreads", "2"));
        all.addAll(List.of(options.split(" ")));
        try (VublkProcess vublk = export(all.toArray(String[]::new))) {
            Guest.qemu("fio-verify", socket)
                    .with("GUEST_SMP", "4")
                    .with("GUEST_DISK_OPTIONS", "num-queues=4")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    @Test
    void shouldServeSmallQueueWithoutAnyRingFeature() throws Exception {
        // Without indirect descriptors a request must fit into the queue: 64 less header and status.
        try (VublkProcess vublk = export("--seg-max", "62")) {
            Guest.qemu("fio-verify", socket)
                    .with("GUEST_DISK_OPTIONS", "num-queues=1,event_idx=off,indirect_desc=off,queue-size=64")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    @Test
    void shouldOfferOnlyWhatTheFrontEndLetsThrough() throws Exception {
        try (VublkProcess vublk = export()) {
            String printed = Guest.qemu("fio-verify", socket)
                    .with("GUEST_DISK_OPTIONS", "discard=off,write-zeroes=off")
                    .withScriptEnvironment("NEED=")
                    .succeeds();
            assertThat(printed).contains("verified");
            vublk.stop(socket);
        }
    }

    /** With packed rings: the firmware has split ones before and after, so both kinds are reset. */
    @Test
    void shouldSurviveARebootOfTheGuest() throws Exception {
        try (VublkProcess vublk = export()) {
            String printed = Guest.qemu("reboot", socket)
                    .withPackedRings(PackedRings.chosen() != PackedRings.NEVER)
                    .with("GUEST_REBOOT", "1")
                    .succeeds();
            assertThat(printed).contains("second boot: same data");
            vublk.stop(socket);
        }
    }

    @Test
    void shouldRefuseWritesToReadOnlyDisk() throws Exception {
        DiskImages.run("mkfs.ext4", "-q", "-F", image.toString());
        try (VublkProcess vublk = export("--read-only")) {
            Guest.qemu("read-only", socket).succeeds();
            vublk.stop(socket);
        }
    }

    @Test
    void shouldServeBlocksOf4096Bytes() throws Exception {
        try (VublkProcess vublk = export("--block-size", "4096", "--cache", "none")) {
            Guest.qemu("sector-size", socket)
                    .withScriptEnvironment("BLOCK_SIZE=4096")
                    .succeeds();
            vublk.stop(socket);
        }
    }

    /** What is plugged in has the other kind of rings, unless all are to have one. */
    @Test
    void shouldBeUnpluggedAndPluggedWhileTheGuestRuns() throws Exception {
        boolean packed = PackedRings.chosen() != PackedRings.NEVER;
        Path share = Files.createDirectory(directory.resolve("share"));
        Path qmp = directory.resolve("qmp.sock");
        try (VublkProcess vublk = export();
                Guest.Running guest = Guest.qemu("hotplug", socket)
                        .with("GUEST_SHARE", share.toString())
                        .with("GUEST_QMP", qmp.toString())
                        .withScriptEnvironment("PLUGGED_RINGS=" + (packed ? "packed" : "split"))
                        .start()) {
            guest.awaitFile(share.resolve("ready"));
            DiskImages.run(Checkout.guestScript("hotplug.sh"), "unplug", qmp.toString(), "disk0");
            guest.awaitFile(share.resolve("unplugged"));
            DiskImages.run(
                    Checkout.guestScript("hotplug.sh"),
                    "plug",
                    qmp.toString(),
                    "disk0",
                    socket.toString(),
                    "port0",
                    "packed=" + (packed ? "on" : "off"));
            guest.succeeds();
            vublk.stop(socket);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldBeKilledAndStartedAgainUnderAnIdleGuest(boolean packed) throws Exception {
        Path share = Files.createDirectory(directory.resolve("share"));
        try (VublkProcess first = export("--packed", "on");
                Guest.Running guest = Guest.qemu("reconnect-idle", socket)
                        .withPackedRings(packed)
                        .with("GUEST_SHARE", share.toString())
                        .start()) {
            guest.awaitFile(share.resolve("before"));
            first.kill();
            try (VublkProcess second = export("--packed", "on")) {
                Files.createFile(share.resolve("go"));
                guest.succeeds();
                second.stop(socket);
            }
        }
    }

    /** scripts/soak.sh does the same more often and at random. */
    @ParameterizedTest
    @CsvSource({"--cache writeback, false", "--cache none, true", "--engine threads, false"})
    void shouldBeKilledAndStartedAgainUnderLoad(String options, boolean packed) throws Exception {
        Path share = Files.createDirectory(directory.resolve("share"));
        Path console = directory.resolve("console");
        List<String> all = new ArrayList<>(List.of("--iothreads", "2", "--packed", "on"));
        all.addAll(List.of(options.split(" ")));
        VublkProcess vublk = export(all.toArray(String[]::new));
        try (Guest.Running guest = Guest.qemu("reconnect-fio", socket)
                .withPackedRings(packed)
                .with("GUEST_SHARE", share.toString())
                .with("GUEST_LOG", console.toString())
                .with("GUEST_DISK_OPTIONS", "num-queues=2")
                .withScriptEnvironment("RUNTIME=5 UNTIL=enough")
                .start()) {
            guest.awaitFile(share.resolve("running"));
            for (int i = 0; i < 3; i++) {
                guest.awaitWrite(image);
                vublk.kill();
                vublk = export(all.toArray(String[]::new));
            }
            guest.awaitWrite(image);
            Files.createFile(share.resolve("enough"));
            assertThat(guest.succeeds()).contains("verified under reconnects");
            assertThat(Files.readString(console)).doesNotContain("I/O error");
            vublk.stop(socket);
        } finally {
            vublk.close();
        }
    }

    @Test
    void shouldGrowUnderTheGuest() throws Exception {
        Path share = Files.createDirectory(directory.resolve("share"));
        try (VublkProcess vublk = export();
                Guest.Running guest = Guest.qemu("resize", socket)
                        .with("GUEST_SHARE", share.toString())
                        .start()) {
            guest.awaitFile(share.resolve("before"));
            DiskImages.resize(image, 1280 * DiskImages.MIB);
            vublk.signal("HUP");
            assertThat(guest.succeeds()).contains("grew from 2097152 to 2621440 sectors");
            vublk.stop(socket);
        }
    }
}
