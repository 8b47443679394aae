// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.FileProbe;
import dev.vublk.blockdev.file.ImageFormat;
import dev.vublk.blockdev.file.ImageInfo;
import dev.vublk.blockdev.nullblk.NullBlockDriver;
import dev.vublk.tools.image.ImageDescription;
import dev.vublk.tools.image.InfoReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vublk info}: tells what an image is and what it can do. */
@Command(
        name = "info",
        mixinStandardHelpOptions = true,
        description = {
            "Tell what a disk image or block device is: format, size, space taken; of a raw one block sizes, direct I/O and"
                    + " discards; of a qcow2 one its backing file, snapshots, bitmaps and features.",
            "",
            "The image is opened read-only. A raw one may be in use; a qcow2 one with --force-share only."
        })
final class InfoCommand implements PlainCommand {
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

    @Option(names = "--backing-chain", description = "Tell of the backing file, and of its backing file, as well.")
    private boolean backingChain;

    @Option(
            names = {"-U", "--force-share"},
            description = "Look at an image that is in use.")
    private boolean forceShare;

    @Mixin
    private final ReportOptions report = new ReportOptions();

    InfoCommand() {}

    @Override
    public PlainArguments plain() {
        PlainArguments plain = new PlainArguments(1, 1, text -> image = text)
                .value(text -> type = DiskDefaults.oneOf(ImageType.class, text), "-f", "--format")
                .flag(() -> backingChain = true, "--backing-chain")
                .flag(() -> forceShare = true, "-U", "--force-share");
        return report.addTo(plain);
    }

    @Override
    public Integer call() throws IOException {
        boolean nullDisk = image.startsWith(NullBlockDriver.PREFIX);
        ImageInfo info = nullDisk ? inspectNull(image) : FileProbe.inspect(image);
        PrintWriter out = output.out();
        boolean isQcow2 = type == ImageType.QCOW2 || (type == ImageType.AUTO && info.format() == ImageFormat.QCOW2);
        if (backingChain) {
            tell(ImageDescription.chain(image, type, forceShare), out);
        } else if (isQcow2) {
            tell(ImageDescription.of(image, ImageType.QCOW2, forceShare), out);
        } else if (report.isJson()) {
            ReportOptions.print(asMap(info, nullDisk), out);
        } else {
            print(info, nullDisk, out);
        }
        out.flush();
        if (!isQcow2) {
            warn(info);
        }
        return 0;
    }

    private void tell(ImageDescription description, PrintWriter out) throws IOException {
        InfoReport info = InfoReport.of(description);
        if (report.isJson()) {
            ReportOptions.print(info.asMap(), out);
        } else {
            info.lines().forEach(out::println);
        }
    }

    private void tell(List<ImageDescription> chain, PrintWriter out) throws IOException {
        if (report.isJson()) {
            ReportOptions.print(
                    chain.stream().map(each -> InfoReport.of(each).asMap()).toList(), out);
            return;
        }
        String separator = "";
        for (ImageDescription description : chain) {
            out.print(separator);
            tell(description, out);
            separator = System.lineSeparator();
        }
    }

    /** A disk that stores nothing has no file to be looked at, but limits like any other. */
    private static ImageInfo inspectNull(String image) throws IOException {
        try (BlockDriver driver = BlockDrivers.open(BlockOptions.of(image))) {
            BlockLimits limits = driver.limits();
            return new ImageInfo(
                    image,
                    false,
                    limits.sizeBytes(),
                    0,
                    limits.logicalBlockBytes(),
                    limits.physicalBlockBytes(),
                    limits.minIoBytes(),
                    limits.optimalIoBytes(),
                    limits.supportsDiscard(),
                    limits.discardGranularityBytes(),
                    false,
                    0,
                    0,
                    0,
                    null,
                    ImageFormat.RAW);
        }
    }

    private void warn(ImageInfo info) {
        if (info.format() != ImageFormat.RAW) {
            warn("looks like " + info.format().label()
                    + (info.format().isForeign()
                            ? ", which is not supported; with --format raw the guest would see the container, not what is in it"
                            : ", but would be served as raw: the guest would see the container, not what is in it"));
        }
        if (info.sizeBytes() == 0) {
            warn(info.blockDevice() ? "has no medium" : "is empty and cannot be served");
        } else if (info.sizeBytes() % info.logicalBlockBytes() != 0) {
            warn("its size is no multiple of " + info.logicalBlockBytes() + " bytes: it can only be served read-only");
        }
    }

    private void warn(String what) {
        output.err().println("vublk: " + image + ": " + what);
    }

    private static String kind(ImageInfo info, boolean nullDisk) {
        return nullDisk ? "null" : info.blockDevice() ? "block-device" : "file";
    }

    private static Map<String, Object> asMap(ImageInfo info, boolean nullDisk) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("filename", info.image());
        map.put("format", "raw");
        map.put("looks-like", info.format().label());
        map.put("kind", kind(info, nullDisk));
        map.put("virtual-size", info.sizeBytes());
        map.put("actual-size", info.allocatedBytes());
        map.put("dirty-flag", false);
        map.put("logical-block-size", info.logicalBlockBytes());
        map.put("physical-block-size", info.physicalBlockBytes());
        map.put("min-io-size", info.minIoBytes());
        map.put("opt-io-size", info.optimalIoBytes());
        map.put("discard", info.canDiscard());
        map.put("discard-granularity", info.discardGranularityBytes());
        map.put("direct-io", info.canDirect());
        map.put("direct-io-memory-alignment", info.directMemoryBytes());
        map.put("direct-io-offset-alignment", info.directOffsetBytes());
        map.put("zone-size", info.zoneBytes());
        DiskLifetime lifetime = info.lifetime();
        if (lifetime != null) {
            map.put("pre-eol", lifetime.preEndOfLife());
            map.put("life-used-a", lifetime.usedTypeA());
            map.put("life-used-b", lifetime.usedTypeB());
        }
        return map;
    }

    private static void print(ImageInfo info, boolean nullDisk, PrintWriter out) {
        line(out, "image", info.image());
        line(out, "format", "raw");
        line(out, "kind", nullDisk ? "stores nothing" : kind(info, false).replace('-', ' '));
        line(out, "virtual size", bytes(info.sizeBytes()));
        if (!info.blockDevice() && !nullDisk) {
            line(out, "space taken", bytes(info.allocatedBytes()));
        }
        line(out, "logical block", bytes(info.logicalBlockBytes()));
        line(out, "physical block", bytes(info.physicalBlockBytes()));
        line(
                out,
                "preferred I/O",
                bytes(info.minIoBytes()) + ", optimal "
                        + (info.optimalIoBytes() == 0 ? "unknown" : bytes(info.optimalIoBytes())));
        line(out, "discard", info.canDiscard() ? "yes, in units of " + bytes(info.discardGranularityBytes()) : "no");
        if (nullDisk) {
            return;
        }
        line(
                out,
                "direct I/O",
                info.canDirect()
                        ? "yes, memory aligned to " + bytes(info.directMemoryBytes()) + ", offsets to "
                                + bytes(info.directOffsetBytes())
                        : "no (cache=none and cache=directsync will not work)");
        printDevice(info, out);
    }

    private static void printDevice(ImageInfo info, PrintWriter out) {
        if (info.zoneBytes() > 0) {
            line(out, "zones", "host-managed, of " + bytes(info.zoneBytes()) + " (needs cache=none)");
        }
        DiskLifetime lifetime = info.lifetime();
        if (lifetime != null) {
            line(
                    out,
                    "life used",
                    "type A " + used(lifetime.usedTypeA()) + ", type B " + used(lifetime.usedTypeB())
                            + ", spare blocks "
                            + DiskDefaults.LifetimeConverter.SPARE_BLOCKS.get(lifetime.preEndOfLife()));
        }
    }

    private static String used(int steps) {
        return steps == 0 ? "unknown" : steps == DiskLifetime.USED_MAX ? "all of it" : "up to " + 10 * steps + " %";
    }

    private static void line(PrintWriter out, String name, String value) {
        out.printf(Locale.ROOT, "%-15s %s%n", name + ":", value);
    }

    private static String bytes(long bytes) {
        return bytes < 1024 ? bytes + " bytes" : SizeConverter.format(bytes) + " (" + bytes + " bytes)";
    }
}
