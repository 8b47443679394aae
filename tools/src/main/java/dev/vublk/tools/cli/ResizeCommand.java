// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.qcow2.Preallocation;
import dev.vublk.tools.image.ImageResize;
import java.io.IOException;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.LongUnaryOperator;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** {@code vublk resize}: makes a disk larger or smaller. */
@Command(
        name = "resize",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Make a disk larger or smaller: to SIZE, or by +SIZE or -SIZE.",
            "",
            "A power cut leaves the one size or the other. Nobody may use the disk, unless the vublk that serves it is told to do"
                    + " it: with --control, PATH being the control socket of that vublk. Then guests go on, and are told; a disk in"
                    + " use only becomes larger. A raw disk that is served also grows by truncate and SIGHUP."
        })
final class ResizeCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "IMAGE",
            description =
                    "Image file; with --control as it was given to that vublk, or its socket, or its number from 0 on.")
    private String image = "";

    @Parameters(
            index = "1",
            paramLabel = "[+|-]SIZE",
            converter = ChangeConverter.class,
            description = "The new size such as 10G, or the difference such as +10G.")
    private LongUnaryOperator newSize = size -> size;

    @Option(
            names = {"-f", "--format"},
            paramLabel = "raw|qcow2|auto",
            converter = ImageTypeConverter.class,
            description = "Format of the image (default auto: as it looks).")
    private ImageType type = ImageType.AUTO;

    @Option(names = "--shrink", description = "The disk may become smaller: what is behind its new end is lost.")
    private boolean shrink;

    @Option(
            names = "--preallocation",
            paramLabel = "off|falloc|full",
            converter = PreallocationConverter.class,
            description = "Whether a raw image that grows gets its space at once (default off).")
    private Preallocation preallocation = Preallocation.OFF;

    @Option(
            names = "--control",
            paramLabel = "PATH",
            description = "The disk is served by the vublk that has this control socket.")
    private @Nullable String control;

    @Option(
            names = {"-q", "--quiet"},
            description = "Print nothing but errors.")
    private boolean quiet;

    private ResizeCommand() {}

    @Override
    public Integer call() throws IOException {
        long sizeBytes =
                control == null ? ImageResize.run(image, type, newSize, shrink, preallocation) : resizeServed(control);
        if (!quiet) {
            spec.commandLine().getOut().println("resized: " + image + " (" + SizeConverter.format(sizeBytes) + ")");
        }
        return 0;
    }

    private long resizeServed(String socket) throws IOException {
        if (type != ImageType.AUTO || shrink || preallocation != Preallocation.OFF) {
            throw new ParameterException(
                    spec.commandLine(), "--control: a disk in use only becomes larger, with none of the other options");
        }
        return ImageResize.runServed(socket, image, newSize);
    }

    /** {@code 10G}, {@code +10G}, {@code -10G}. */
    static final class ChangeConverter implements ITypeConverter<LongUnaryOperator> {
        @Override
        public LongUnaryOperator convert(String value) {
            char sign = value.isEmpty() ? ' ' : value.charAt(0);
            long bytes = new SizeConverter().convert(sign == '+' || sign == '-' ? value.substring(1) : value);
            if (bytes > 1L << 62) {
                throw new TypeConversionException("'" + value + "' is larger than any disk");
            }
            return switch (sign) {
                case '+' -> size -> size > Long.MAX_VALUE / 2 ? -1 : size + bytes;
                case '-' -> size -> size - bytes;
                default -> size -> bytes;
            };
        }
    }

    /** {@code off}, {@code falloc}, {@code full}. */
    static final class PreallocationConverter implements ITypeConverter<Preallocation> {
        @Override
        public Preallocation convert(String value) {
            Preallocation preallocation = DiskDefaults.oneOf(Preallocation.class, value.toLowerCase(Locale.ROOT));
            if (preallocation == Preallocation.METADATA) {
                throw new TypeConversionException("'" + value + "' is none of off, falloc, full");
            }
            return preallocation;
        }
    }
}
