// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.qcow2.Qcow2Check;
import dev.vublk.blockdev.qcow2.Qcow2CheckResult;
import dev.vublk.blockdev.qcow2.Qcow2Repair;
import dev.vublk.tools.image.ImageFiles;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vublk check}: looks for damage in a qcow2 image, and repairs it when asked to. */
@Command(
        name = "check",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Look for damage in the metadata of a qcow2 image, and repair it when asked to.",
            "",
            "Without --repair nothing is written. A repair may be interrupted at any moment.",
            "",
            "Exit status: 0 nothing is wrong (any more), 1 it could not be checked, 2 errors that can cost data, 3 space is lost"
                    + " but no data; 63 the format has nothing to check."
        })
final class CheckCommand implements PlainCommand {
    private static final int NOT_CHECKED = 1;
    private static final int CORRUPT = 2;
    private static final int LEAKING = 3;
    private static final int NOTHING_TO_CHECK = 63;

    @Mixin
    private final CommandOutput output = new CommandOutput();

    @Parameters(paramLabel = "IMAGE", description = "Image file or block device.")
    private String image = "";

    @Option(
            names = {"-f", "--format"},
            paramLabel = "raw|qcow2|auto",
            converter = ImageTypeConverter.class,
            description = "Format of the image (default auto: as it looks).")
    private ImageType type = ImageType.AUTO;

    @Option(
            names = {"-r", "--repair"},
            paramLabel = "leaks|all",
            converter = RepairConverter.class,
            description = "Repair: leaks gives lost space back; all corrects whatever can be corrected, too.")
    private Qcow2Repair.@Nullable Mode repair;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print nothing but errors.")
    private boolean quiet;

    @Option(
            names = {"-U", "--force-share"},
            description = "Check an image that is in use; what changes meanwhile looks like damage.")
    private boolean forceShare;

    @Mixin
    private final ReportOptions report = new ReportOptions();

    CheckCommand() {}

    @Override
    public PlainArguments plain() {
        PlainArguments plain = new PlainArguments(1, 1, text -> image = text)
                .value(text -> type = DiskDefaults.oneOf(ImageType.class, text), "-f", "--format")
                .value(text -> repair = DiskDefaults.oneOf(Qcow2Repair.Mode.class, text), "-r", "--repair")
                .flag(() -> quiet = true, "-q", "--quiet")
                .flag(() -> forceShare = true, "-U", "--force-share");
        return report.addTo(plain);
    }

    @Override
    public Integer call() throws IOException {
        if (repair != null && forceShare) {
            throw output.wrongUsage("--force-share: an image in use cannot be repaired", null);
        }
        try (OfflineFile file = OfflineFile.open(image, repair != null, forceShare)) {
            if (ImageFiles.type(file, type) != ImageType.QCOW2) {
                output.err().println("vublk: " + image + ": is raw: there is nothing to check");
                return NOTHING_TO_CHECK;
            }
            return check(file);
        }
    }

    private int check(OfflineFile file) throws IOException {
        PrintWriter err = output.err();
        Qcow2CheckResult result =
                repair == null ? Qcow2Check.run(file, err::println) : Qcow2Repair.run(file, repair, err::println);
        PrintWriter out = output.out();
        if (report.isJson()) {
            ReportOptions.print(asMap(result), out);
        } else if (!quiet) {
            print(result, out);
        }
        out.flush();
        return result.checkErrors() > 0
                ? NOT_CHECKED
                : result.corruptions() > 0 ? CORRUPT : result.leaks() > 0 ? LEAKING : 0;
    }

    /** The names of QEMU's ImageCheck; what is 0 is left out where QEMU does so. */
    private Map<String, Object> asMap(Qcow2CheckResult result) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("filename", image);
        map.put("format", "qcow2");
        map.put("check-errors", result.checkErrors());
        putUnlessZero(map, "image-end-offset", result.imageEndOffset());
        putUnlessZero(map, "corruptions", result.corruptions());
        putUnlessZero(map, "leaks", result.leaks());
        putUnlessZero(map, "corruptions-fixed", result.corruptionsFixed());
        putUnlessZero(map, "leaks-fixed", result.leaksFixed());
        putUnlessZero(map, "total-clusters", result.totalClusters());
        putUnlessZero(map, "allocated-clusters", result.allocatedClusters());
        putUnlessZero(map, "fragmented-clusters", result.fragmentedClusters());
        putUnlessZero(map, "compressed-clusters", result.compressedClusters());
        return map;
    }

    private static void putUnlessZero(Map<String, Object> map, String key, long number) {
        if (number != 0) {
            map.put(key, number);
        }
    }

    private static void print(Qcow2CheckResult result, PrintWriter out) {
        if (result.leaksFixed() > 0 || result.corruptionsFixed() > 0) {
            out.printf(
                    Locale.ROOT,
                    "repaired: %d leaked clusters, %d errors%n",
                    result.leaksFixed(),
                    result.corruptionsFixed());
        }
        if (result.isClean()) {
            out.println("No errors were found on the image.");
        }
        if (result.corruptions() > 0) {
            out.printf(
                    Locale.ROOT,
                    "%d errors were found on the image.%nData may be corrupted, or further writes to the image may corrupt"
                            + " it.%n",
                    result.corruptions());
        }
        if (result.leaks() > 0) {
            out.printf(
                    Locale.ROOT,
                    "%d leaked clusters were found on the image.%nThis means waste of disk space, but no harm to data.%n",
                    result.leaks());
        }
        if (result.checkErrors() > 0) {
            out.printf(Locale.ROOT, "%d times something could not be checked.%n", result.checkErrors());
        }
        if (result.totalClusters() > 0 && result.allocatedClusters() > 0) {
            out.printf(
                    Locale.ROOT,
                    "%d/%d = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed clusters%n",
                    result.allocatedClusters(),
                    result.totalClusters(),
                    result.allocatedClusters() * 100.0 / result.totalClusters(),
                    result.fragmentedClusters() * 100.0 / result.allocatedClusters(),
                    result.compressedClusters() * 100.0 / result.allocatedClusters());
        }
        if (result.imageEndOffset() > 0) {
            out.println("Image end offset: " + result.imageEndOffset());
        }
    }

    /** {@code leaks} or {@code all}. */
    static final class RepairConverter implements picocli.CommandLine.ITypeConverter<Qcow2Repair.Mode> {
        @Override
        public Qcow2Repair.Mode convert(String value) {
            return DiskDefaults.oneOf(Qcow2Repair.Mode.class, value);
        }
    }
}
