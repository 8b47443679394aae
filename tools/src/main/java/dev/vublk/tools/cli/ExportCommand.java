// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.EmulatorConfig;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** {@code vublk export}: serves disks until it is told to stop. */
@Command(
        name = "export",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Serve a disk image or block device to a virtual machine.",
            "",
            "Prints a line that begins with 'ready' when the socket listens, then serves one front end after the other until"
                    + " SIGTERM or SIGINT: requests in flight are finished, the socket is removed, the status is 0. A second"
                    + " signal ends the process at once. SIGHUP looks again how large the disks are and tells the guests of"
                    + " those that have grown."
        },
        footerHeading = "%nWith QEMU:%n",
        footer = {
            "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on \\",
            "    -machine q35,memory-backend=mem -chardev socket,id=disk0,path=/run/disk.sock,reconnect=1 \\",
            "    -device vhost-user-blk-pci,chardev=disk0,num-queues=4",
            "",
            "The guest's memory must be shared (share=on), or the front end cannot hand it over."
        })
final class ExportCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Parameters(
            arity = "0..1",
            paramLabel = "IMAGE",
            description = "Raw image, block device, or null:SIZE for a disk that stores nothing.")
    private @Nullable String image;

    @Option(names = "--socket", paramLabel = "PATH", description = "Unix socket to listen on.")
    private @Nullable String socket;

    @Option(
            names = "--socket-fd",
            paramLabel = "N",
            description = "Inherited socket instead: listening, or connected to a front end.")
    private @Nullable Integer socketFd;

    @Option(
            names = "--disk",
            paramLabel = "KEY=VALUE,...",
            description =
                    "One more disk; repeat for several. Keys: image, socket, socket-fd, and every option of a disk"
                            + " below without its dashes, such as read-only=on or cache=none. ',,' is a comma in a value.")
    private List<String> disks = new ArrayList<>();

    @Mixin
    private final DiskDefaults defaults = new DiskDefaults();

    @Mixin
    private final RuntimeOptions runtime = new RuntimeOptions();

    @Mixin
    private final ControlOptions control = new ControlOptions();

    @Mixin
    private final LogOptions log = new LogOptions();

    private ExportCommand() {}

    @Override
    public Integer call() throws Exception {
        log.apply();
        return new Server(spec.commandLine().getOut(), control).serve(configure());
    }

    /** What is to be run. Throws {@link ParameterException} with a line for the user. */
    EmulatorConfig configure() {
        try {
            List<DiskConfig> configs = new ArrayList<>();
            if (image != null) {
                configs.add(diskOfOptions(image).build());
            } else if (socket != null || socketFd != null) {
                throw new TypeConversionException("no IMAGE given: what is to be served?");
            }
            for (String disk : disks) {
                try {
                    configs.add(DiskSpec.parse(disk, defaults).build());
                } catch (TypeConversionException e) {
                    throw new TypeConversionException("--disk " + disk + ": " + e.getMessage());
                }
            }
            if (configs.isEmpty()) {
                throw new TypeConversionException("nothing to serve: give IMAGE and --socket, or --disk");
            }
            checkSockets(configs);
            return runtime.configure(configs);
        } catch (TypeConversionException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
    }

    /** Two disks on one inherited socket would take each other's front ends; on one path only the first would bind. */
    private static void checkSockets(List<DiskConfig> configs) {
        Map<String, String> images = new HashMap<>();
        for (DiskConfig config : configs) {
            String socket = config.listener().describe();
            String image = config.block().image();
            String other = images.putIfAbsent(socket, image);
            if (other != null) {
                throw new TypeConversionException(
                        socket + ": is given for " + other + " and for " + image + "; each disk needs its own");
            }
        }
    }

    private DiskSpec diskOfOptions(String imageName) {
        DiskSpec disk = DiskSpec.ofOptions(defaults, imageName);
        if (socket != null) {
            disk.set("socket", socket);
        }
        if (socketFd != null) {
            disk.set("socket-fd", String.valueOf(socketFd));
        }
        return disk;
    }
}
