// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import dev.vublk.tools.image.FormatOptions;
import dev.vublk.tools.image.ImageCreation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code vublk create}: makes a new, empty image. */
@Command(
        name = "create",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Make a new, empty disk image.",
            "",
            "It is written under a temporary name beside it and gets its own when it is whole and stable. A file that is there is"
                    + " replaced with --force only."
        })
final class CreateCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "IMAGE", description = "The new file.")
    private String image = "";

    @Parameters(
            index = "1",
            arity = "0..1",
            paramLabel = "SIZE",
            description = "Size of its disk, such as 10G (default: that of the backing file).")
    private @Nullable String size;

    @Option(
            names = {"-f", "--format"},
            paramLabel = "raw|qcow2",
            description = "Its format (default raw).")
    private String format = "raw";

    @Option(
            names = "-o",
            paramLabel = "KEY=VALUE,...",
            description =
                    "Options of the format; ',,' is a comma. raw: preallocation=off|falloc|full. qcow2: cluster_size,"
                            + " compat=0.10|1.1, compression_type=zlib|zstd, refcount_bits, extended_l2, lazy_refcounts,"
                            + " preallocation=off|metadata|falloc|full, data_file, data_file_raw, backing_file, backing_fmt,"
                            + " size.")
    private List<String> formatOptions = new ArrayList<>();

    @Option(
            names = {"-b", "--backing"},
            paramLabel = "FILE",
            description = "Backing file: what is not written yet is read there. Relative to IMAGE's directory.")
    private @Nullable String backing;

    @Option(names = "-F", paramLabel = "FORMAT", description = "Format of the backing file: raw or qcow2.")
    private @Nullable String backingFormat;

    @Option(names = "-u", description = "Do not look at the backing file; it may not be there yet.")
    private boolean trustBacking;

    @Option(names = "--force", description = "Replace a file that is there, and that nobody uses.")
    private boolean force;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print nothing but errors.")
    private boolean quiet;

    private CreateCommand() {}

    @Override
    public Integer call() throws IOException {
        ImageType type = switch (format) {
            case "raw" -> ImageType.RAW;
            case "qcow2" -> ImageType.QCOW2;
            default ->
                throw new ParameterException(spec.commandLine(), "--format: '" + format + "' is neither raw nor qcow2");
        };
        if (backingFormat != null && !backingFormat.equals("raw") && !backingFormat.equals("qcow2")) {
            throw new ParameterException(spec.commandLine(), "-F: '" + backingFormat + "' is neither raw nor qcow2");
        }
        if (type == ImageType.RAW && (backing != null || backingFormat != null)) {
            throw new ParameterException(spec.commandLine(), "-b: a raw image has no backing file");
        }
        try {
            long sizeBytes = new ImageCreation(image, options(), force, trustBacking).create(type);
            if (!quiet) {
                String made = String.format(
                        Locale.ROOT, "created: %s (%s, %s)", image, format, SizeConverter.format(sizeBytes));
                spec.commandLine().getOut().println(made);
            }
            return 0;
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), String.valueOf(e.getMessage()), e);
        }
    }

    private FormatOptions options() {
        FormatOptions options = new FormatOptions();
        formatOptions.forEach(options::parse);
        put(options, "size", size);
        put(options, "backing_file", backing);
        put(options, "backing_fmt", backingFormat);
        return options;
    }

    private static void put(FormatOptions options, String key, @Nullable String value) {
        if (value != null && options.value(key) != null) {
            throw new IllegalArgumentException(key + ": is given twice");
        }
        if (value != null) {
            options.putIfAbsent(key, value);
        }
    }
}
