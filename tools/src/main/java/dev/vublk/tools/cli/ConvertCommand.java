// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ImageType;
import dev.vublk.tools.cli.DiskDefaults.CacheModeConverter;
import dev.vublk.tools.image.Conversion;
import dev.vublk.tools.image.ConversionOptions;
import dev.vublk.tools.image.ConversionOptions.Compression;
import dev.vublk.tools.image.FormatOptions;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code vublk convert}: makes an image from another one. */
@Command(
        name = "convert",
        aliases = "export-image",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Make a disk image from another one: other format, compressed, sparse.",
            "",
            "The target is written under a temporary name beside it and gets its own when it is whole and stable; a file that"
                    + " was there stays until then. SIGINT, SIGTERM and failures leave nothing behind."
        })
final class ConvertCommand implements PlainCommand {
    /** Threads where none are asked for: more than these do not help one file. Arbitrary. */
    private static final int THREADS_MAX = 16;

    @Mixin
    private final CommandOutput output = new CommandOutput();

    @Parameters(
            arity = "1..2",
            paramLabel = "[SOURCE] TARGET",
            description =
                    "Image file, block device, or - for standard input and output. With --from-control TARGET alone.")
    private List<String> images = new ArrayList<>();

    @Option(
            names = "--from-control",
            paramLabel = "PATH",
            description =
                    "Read a disk that a running vublk export --control=PATH serves, while its guest goes on: as it is at"
                            + " this moment. What the guest overwrites meanwhile is copied before.")
    private @Nullable String control;

    @Option(
            names = "--disk",
            paramLabel = "NAME",
            description =
                    "Which disk, with --from-control: its image, its socket, or its number from 0 on (default 0).")
    private String disk = "0";

    /** What is read: a path, or the name of a disk. */
    private String source = "";

    private String target = "";

    @Option(
            names = "-f",
            paramLabel = "FORMAT",
            description = "Format of SOURCE: raw, qcow2, or auto (default): as it looks.")
    private String sourceFormat = "auto";

    @Option(names = "-O", paramLabel = "FORMAT", description = "Format of TARGET: raw (default) or qcow2.")
    private String targetFormat = "raw";

    @Option(
            names = "-o",
            paramLabel = "KEY=VALUE,...",
            description =
                    "Options of TARGET's format; ',,' is a comma. raw: preallocation=off|falloc|full. qcow2: cluster_size,"
                            + " compat=0.10|1.1, compression_type=zlib|zstd, refcount_bits, extended_l2, lazy_refcounts,"
                            + " backing_file, backing_fmt.")
    private List<String> formatOptions = new ArrayList<>();

    @Option(
            names = {"-B", "--backing"},
            paramLabel = "FILE",
            description = "TARGET's backing file, relative to TARGET's directory: only what differs from it is copied.")
    private @Nullable String backing;

    @Option(names = "-F", paramLabel = "FORMAT", description = "Format of the backing file: raw or qcow2.")
    private @Nullable String backingFormat;

    @Option(
            names = {"-l", "--snapshot"},
            paramLabel = "SNAPSHOT",
            description = "Read this internal snapshot of SOURCE, by its id or name.")
    private @Nullable String snapshot;

    @Option(
            names = "-T",
            paramLabel = "CACHE",
            converter = CacheModeConverter.class,
            description = "How SOURCE is read: writeback (default), or none: past the page cache.")
    private CacheMode sourceCache = CacheMode.WRITEBACK;

    @Option(
            names = "-t",
            paramLabel = "CACHE",
            converter = CacheModeConverter.class,
            description =
                    "How TARGET is written: writeback (default): it is stable in the end; unsafe: the host writes it when"
                            + " it likes; none: past the page cache, for raw devices and with -n.")
    private CacheMode targetCache = CacheMode.WRITEBACK;

    @Option(names = "-c", description = "Compress the clusters of a qcow2 image.")
    private boolean compress;

    @Option(
            names = "--compress",
            paramLabel = "TYPE[:LEVEL]",
            description =
                    "Compress with zlib or zstd, at a level: the clusters of a qcow2 image, or a raw one as a stream that"
                            + " gzip -d or zstd -d unpacks.")
    private @Nullable String compressType;

    @Option(
            names = "--when-busy",
            paramLabel = "WHAT",
            defaultValue = "wait",
            description = "When every thread is compressing: wait for one (default), or store the block as it is.")
    private WhenBusy whenBusy = WhenBusy.WAIT;

    @Option(
            names = "-n",
            description =
                    "TARGET exists and is written into; it is not whole when this fails. So are block devices always.")
    private boolean existing;

    @Option(
            names = "--target-is-zero",
            description = "An existing TARGET reads as zeroes: nothing is written where SOURCE does.")
    private boolean targetIsZero;

    @Option(
            names = "--resume",
            description =
                    "Go on where a conversion of the same SOURCE to the same TARGET was interrupted, and leave what goes on"
                            + " when this one is. For raw targets.")
    private boolean resume;

    @Option(
            names = "--journal",
            paramLabel = "FILE",
            description = "Where --resume keeps how far it is: by default beside TARGET; needed for a device.")
    private @Nullable String journal;

    @Option(
            names = "-S",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Look for zeroes in units of this size; 0 stores everything (default 4K).")
    private long zeroUnit = 4096;

    @Option(
            names = {"-m", "--threads"},
            paramLabel = "N",
            description = "Threads (default: processors).")
    private int threads = Math.min(THREADS_MAX, Runtime.getRuntime().availableProcessors());

    @Option(
            names = {"-r", "--rate-limit"},
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Copy at most so many bytes a second.")
    private long bytesPerSecond;

    @Option(
            names = {"-U", "--force-share"},
            description = "Read SOURCE without regard to locks; what is written to it meanwhile tears the copy.")
    private boolean forceShare;

    @Option(
            names = {"--salvage", "--skip-broken-sectors"},
            description = "Sectors that cannot be read become zeroes.")
    private boolean salvage;

    @Option(names = "--stats", description = "Tell at the end what was done: blocks, throughput, CPU time.")
    private boolean stats;

    @Option(names = "--json", description = "Print --stats as JSON.")
    private boolean json;

    @Mixin
    private final ProgressOptions progress = new ProgressOptions();

    @Mixin
    private final LogOptions log = new LogOptions();

    ConvertCommand() {}

    @Override
    public PlainArguments plain() {
        PlainArguments plain = new PlainArguments(1, 2, images::add)
                .value(text -> sourceFormat = text, "-f")
                .value(text -> targetFormat = text, "-O")
                .value(formatOptions::add, "-o")
                .value(text -> backing = text, "-B", "--backing")
                .value(text -> backingFormat = text, "-F")
                .value(text -> snapshot = text, "-l", "--snapshot")
                .value(text -> sourceCache = DiskDefaults.oneOf(CacheMode.class, text), "-T")
                .value(text -> targetCache = DiskDefaults.oneOf(CacheMode.class, text), "-t")
                .value(text -> compressType = text, "--compress")
                .value(text -> zeroUnit = SizeConverter.parse(text), "-S")
                .value(text -> threads = PlainArguments.number(text), "-m", "--threads")
                .value(text -> bytesPerSecond = SizeConverter.parse(text), "-r", "--rate-limit")
                .flag(() -> compress = true, "-c")
                .flag(() -> existing = true, "-n")
                .flag(() -> targetIsZero = true, "--target-is-zero")
                .flag(() -> resume = true, "--resume")
                .flag(() -> forceShare = true, "-U", "--force-share")
                .flag(() -> stats = true, "--stats")
                .flag(() -> json = true, "--json");
        return progress.addTo(plain);
    }

    private enum WhenBusy {
        WAIT,
        STORE
    }

    @Override
    public Integer call() throws IOException {
        log.apply();
        ConversionOptions options = options();
        PrintWriter err = output.err();
        Conversion conversion = new Conversion(options);
        ProgressOptions.Kind kind = progress.kind();
        PrintWriter display = kind == ProgressOptions.Kind.JSON ? out(options) : err;
        Interruption interruption = new Interruption();
        interruption.listen(conversion::cancel);
        try (ProgressDisplay shown = new ProgressDisplay(conversion, kind, display)) {
            conversion.run();
            shown.finish();
            if (stats || json) {
                out(options).println(json ? ConversionReport.json(conversion) : ConversionReport.text(conversion));
            }
        } catch (IllegalArgumentException e) {
            throw output.wrongUsage(e.getMessage(), e);
        } catch (IOException e) {
            if (interruption.signal() == 0) {
                throw e;
            }
            err.println("vublk: " + e.getMessage());
        } finally {
            interruption.stopListening();
        }
        if (conversion.brokenBytes() > 0) {
            err.println("vublk: " + source + ": " + conversion.brokenBytes()
                    + " bytes could not be read and are zeroes in " + target);
        }
        return interruption.signal() == 0 ? 0 : 128 + interruption.signal();
    }

    /** Where programs read: not where the image goes. */
    private PrintWriter out(ConversionOptions options) {
        return options.target().equals("-") ? output.err() : output.out();
    }

    private ConversionOptions options() {
        if (images.size() != (control == null ? 2 : 1)) {
            throw wrong(
                    control == null ? "SOURCE and TARGET are needed" : "--from-control: give TARGET and nothing else");
        }
        source = control == null ? images.getFirst() : disk;
        target = images.getLast();
        if (threads < 1) {
            throw wrong("-m: '" + threads + "' is no number of threads");
        }
        if (zeroUnit != 0 && (Long.bitCount(zeroUnit) != 1 || zeroUnit < 512 || zeroUnit > 1 << 20)) {
            throw wrong("-S: " + zeroUnit + " is neither 0 nor a power of two between 512 and 1M");
        }
        FormatOptions format = new FormatOptions();
        try {
            formatOptions.forEach(format::parse);
        } catch (IllegalArgumentException e) {
            throw wrong("-o: " + e.getMessage());
        }
        String formatName = targetFormat();
        Compression compression = compression(format);
        if (backing != null) {
            format.putIfAbsent("backing_file", backing);
        }
        if (backingFormat != null) {
            format.putIfAbsent("backing_fmt", backingFormat);
        }
        checkCombinations(formatName, compression);
        return new ConversionOptions(
                source,
                control,
                sourceType(),
                snapshot,
                forceShare,
                sourceCache,
                targetCache,
                target,
                formatName,
                format,
                compression,
                threads,
                (int) zeroUnit,
                existing,
                targetIsZero,
                bytesPerSecond,
                salvage,
                resume,
                journal);
    }

    private ImageType sourceType() {
        try {
            return ImageType.valueOf(sourceFormat.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw wrong("-f: '" + sourceFormat + "' is none of raw, qcow2, auto");
        }
    }

    private String targetFormat() {
        if (!targetFormat.equals("raw") && !targetFormat.equals("qcow2")) {
            throw wrong("-O: '" + targetFormat + "' is neither raw nor qcow2");
        }
        return targetFormat;
    }

    /** What -c and --compress ask for, with the type of a qcow2 image; null for nothing. */
    private @Nullable Compression compression(FormatOptions target) {
        if (!compress && compressType == null) {
            return null;
        }
        String[] parts = (compressType == null ? target.value("compression_type", "zlib") : compressType).split(":", 2);
        String type = parts[0].equals("gzip") ? "zlib" : parts[0];
        if (!type.equals("zlib") && !type.equals("zstd")) {
            throw wrong("--compress: '" + parts[0] + "' is neither zlib nor zstd");
        }
        int level = 0;
        if (parts.length == 2) {
            int levelMax = type.equals("zlib") ? 9 : 22;
            level = parts[1].matches("[0-9]{1,2}") ? Integer.parseInt(parts[1]) : 0;
            if (level < 1 || level > levelMax) {
                throw wrong("--compress: '" + parts[1] + "' is no level of " + type + ": 1 to " + levelMax);
            }
        }
        if (targetFormat.equals("qcow2")) {
            target.putIfAbsent("compression_type", type);
            if (!target.value("compression_type", type).equals(type)) {
                throw wrong("--compress " + type + ": the image is to have compression_type="
                        + target.value("compression_type", type));
            }
        }
        return new Compression(type, level, whenBusy == WhenBusy.STORE);
    }

    private void checkCombinations(String format, @Nullable Compression compression) {
        if (compress && !format.equals("qcow2")) {
            throw wrong("-c: only qcow2 images have compressed clusters; --compress zstd makes a compressed stream");
        }
        if (targetIsZero && !existing) {
            throw wrong("--target-is-zero is about a target that exists: give -n as well");
        }
        if (backing != null && !format.equals("qcow2")) {
            throw wrong("-B: only qcow2 images have backing files: give -O qcow2");
        }
        if (control != null && (resume || snapshot != null)) {
            throw wrong("--from-control: a disk in use has its state of this moment only: neither --resume nor -l");
        }
        if (resume && (!format.equals("raw") || compression != null || target.equals("-") || source.equals("-"))) {
            throw wrong("--resume works for raw targets that are files or devices, and not for streams");
        }
        if (existing && (compression != null || target.equals("-"))) {
            throw wrong("-n: an existing target is neither compressed nor a stream");
        }
    }

    private RuntimeException wrong(String message) {
        return output.wrongUsage(message, null);
    }
}
