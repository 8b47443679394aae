// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.tools.image.ImageDescription;
import dev.vublk.tools.image.SnapshotReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vublk snapshot}: tells the internal snapshots of a qcow2 image. */
@Command(
        name = "snapshot",
        mixinStandardHelpOptions = true,
        subcommands = SnapshotCommand.ListCommand.class,
        synopsisSubcommandLabel = "list",
        description = "Tell the internal snapshots of a qcow2 image: 'snapshot list IMAGE', or 'snapshot -l IMAGE'.")
final class SnapshotCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Option(
            names = {"-l", "--list"},
            paramLabel = "IMAGE",
            description = "List the snapshots of this image, as qemu-img does.")
    private String listed = "";

    private SnapshotCommand() {}

    @Override
    public Integer call() throws IOException {
        if (listed.isEmpty()) {
            throw new ParameterException(spec.commandLine(), "what is to be done? 'list IMAGE' is all there is");
        }
        return list(listed, false, false, spec.commandLine().getOut());
    }

    private static int list(String image, boolean json, boolean forceShare, PrintWriter out) throws IOException {
        SnapshotReport report = SnapshotReport.of(ImageDescription.of(image, forceShare));
        if (json) {
            ReportOptions.print(report.asList(), out);
        } else {
            report.lines().forEach(out::println);
            out.flush();
        }
        return 0;
    }

    /** {@code vublk snapshot list}. */
    @Command(
            name = "list",
            mixinStandardHelpOptions = true,
            description = "List the internal snapshots of a qcow2 image.")
    static final class ListCommand implements Callable<Integer> {
        @Spec
        @SuppressWarnings("NullAway.Init") // Set by picocli.
        private CommandSpec spec;

        @Parameters(paramLabel = "IMAGE", description = "Image file or block device.")
        private String image = "";

        @Option(
                names = {"-U", "--force-share"},
                description = "Read an image that is in use.")
        private boolean forceShare;

        @Mixin
        private final ReportOptions report = new ReportOptions();

        private ListCommand() {}

        @Override
        public Integer call() throws IOException {
            return list(image, report.isJson(), forceShare, spec.commandLine().getOut());
        }
    }
}
