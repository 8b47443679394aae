// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import dev.vublk.tools.image.ImageComparison;
import dev.vublk.tools.image.ImageComparison.Outcome;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.LongConsumer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vublk compare}: tells whether two disks read the same. */
@Command(
        name = "compare",
        exitCodeOnExecutionException = CompareCommand.CANNOT_OPEN,
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Tell whether two disks have the same content, whatever their formats. One may be longer, with zeroes there.",
            "",
            "Exit status: 0 they have, 1 they have not, 2 one cannot be opened, 4 one cannot be read."
        })
final class CompareCommand implements PlainCommand {
    private static final int DIFFERENT = 1;
    static final int CANNOT_OPEN = 2;
    private static final int CANNOT_READ = 4;

    @Mixin
    private final CommandOutput output = new CommandOutput();

    @Parameters(index = "0", paramLabel = "IMAGE1", description = "Image file or block device.")
    private String first = "";

    @Parameters(index = "1", paramLabel = "IMAGE2", description = "Image file or block device.")
    private String second = "";

    @Option(
            names = "-f",
            paramLabel = "raw|qcow2|auto",
            converter = ImageTypeConverter.class,
            description = "Format of IMAGE1 (default auto: as it looks).")
    private ImageType firstType = ImageType.AUTO;

    @Option(
            names = "-F",
            paramLabel = "raw|qcow2|auto",
            converter = ImageTypeConverter.class,
            description = "Format of IMAGE2 (default auto: as it looks).")
    private ImageType secondType = ImageType.AUTO;

    @Option(
            names = {"-s", "--strict"},
            description = "Sizes, and what is allocated, must be the same as well.")
    private boolean strict;

    @Option(
            names = {"-p", "--progress"},
            description = "Show how far it is, on standard error.")
    private boolean showsProgress;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print nothing but errors.")
    private boolean quiet;

    @Option(
            names = {"-U", "--force-share"},
            description = "Read images that are in use.")
    private boolean forceShare;

    CompareCommand() {}

    @Override
    public PlainArguments plain() {
        return new PlainArguments(2, 2, this::addImage)
                .value(text -> firstType = DiskDefaults.oneOf(ImageType.class, text), "-f")
                .value(text -> secondType = DiskDefaults.oneOf(ImageType.class, text), "-F")
                .flag(() -> strict = true, "-s", "--strict")
                .flag(() -> showsProgress = true, "-p", "--progress")
                .flag(() -> quiet = true, "-q", "--quiet")
                .flag(() -> forceShare = true, "-U", "--force-share");
    }

    private void addImage(String image) {
        if (first.isEmpty()) {
            first = image;
        } else {
            second = image;
        }
    }

    @Override
    public Integer call() {
        ImageComparison comparison;
        long[] sizeBytes = {1};
        try {
            comparison =
                    ImageComparison.open(first, firstType, second, secondType, forceShare, strict, progress(sizeBytes));
        } catch (IOException e) {
            return failed(e, CANNOT_OPEN);
        }
        try (comparison) {
            sizeBytes[0] = comparison.sizeBytes();
            return tell(comparison.run());
        } catch (IOException e) {
            return failed(e, CANNOT_READ);
        } finally {
            if (showsProgress) {
                output.err().println();
            }
        }
    }

    private LongConsumer progress(long[] sizeBytes) {
        PrintWriter err = output.err();
        int[] shown = {-1};
        return done -> {
            int percent = (int) (done * 100.0 / sizeBytes[0]);
            if (showsProgress && percent != shown[0]) {
                shown[0] = percent;
                err.printf(Locale.ROOT, "\r    (%d/100%%)", percent);
                err.flush();
            }
        };
    }

    private int failed(IOException failure, int status) {
        output.err().println("vublk: " + VublkCommand.describe(failure));
        return status;
    }

    private int tell(Outcome outcome) {
        String found = switch (outcome.difference()) {
            case NONE -> "Images are identical.";
            case CONTENT -> "Content mismatch at offset " + outcome.offsetBytes() + "!";
            case ALLOCATION -> "Strict mode: Offset " + outcome.offsetBytes() + " block status mismatch!";
            case SIZE -> "Strict mode: Image size mismatch!";
        };
        if (!quiet) {
            PrintWriter out = output.out();
            if (outcome.sizesDiffer() && !strict) {
                out.println("Warning: Image size mismatch!");
            }
            out.println(found);
            out.flush();
        }
        return outcome.difference() == ImageComparison.Difference.NONE ? 0 : DIFFERENT;
    }
}
