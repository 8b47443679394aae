// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import dev.vublk.tools.image.ImageMap;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vublk map}: tells where the bytes of a disk are. */
@Command(
        name = "map",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Tell which parts of a disk are stored, and where.",
            "",
            "For people only what is data is told; --output=json tells everything, in qemu-img's words."
        })
final class MapCommand implements PlainCommand {
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
            names = {"-s", "--start-offset"},
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Where to begin (default 0).")
    private long startBytes;

    @Option(
            names = {"-l", "--max-length"},
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "How much to tell of (default: the rest).")
    private long maxBytes = Long.MAX_VALUE;

    @Option(
            names = {"-U", "--force-share"},
            description = "Read an image that is in use.")
    private boolean forceShare;

    @Mixin
    private final ReportOptions report = new ReportOptions();

    MapCommand() {}

    @Override
    public PlainArguments plain() {
        PlainArguments plain = new PlainArguments(1, 1, text -> image = text)
                .value(text -> type = DiskDefaults.oneOf(ImageType.class, text), "-f", "--format")
                .value(text -> startBytes = SizeConverter.parse(text), "-s", "--start-offset")
                .value(text -> maxBytes = SizeConverter.parse(text), "-l", "--max-length")
                .flag(() -> forceShare = true, "-U", "--force-share");
        return report.addTo(plain);
    }

    @Override
    public Integer call() throws IOException {
        PrintWriter out = output.out();
        if (report.isJson()) {
            List<Map<String, Object>> extents = new ArrayList<>();
            ImageMap.run(image, type, forceShare, startBytes, maxBytes, extent -> extents.add(extent.asMap()));
            ReportOptions.print(extents, out);
            return 0;
        }
        out.println(line("Offset", "Length", "Mapped to", "File"));
        ImageMap.run(image, type, forceShare, startBytes, maxBytes, extent -> print(extent, out));
        out.flush();
        return 0;
    }

    private static void print(ImageMap.Extent extent, PrintWriter out) {
        if (!extent.data() || extent.zero()) {
            return;
        }
        String where = extent.offsetBytes() >= 0
                ? hex(extent.offsetBytes())
                : extent.compressed() ? "compressed" : "elsewhere";
        String file = extent.file();
        out.println(line(hex(extent.startBytes()), hex(extent.lengthBytes()), where, file == null ? "" : file));
    }

    private static String hex(long number) {
        return number == 0 ? "0" : "0x" + Long.toHexString(number);
    }

    private static String line(String offset, String length, String where, String file) {
        return String.format(Locale.ROOT, "%-16s%-16s%-16s%s", offset, length, where, file)
                .stripTrailing();
    }
}
