// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.blockdev.qcow2.Qcow2Writer;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Opens what a copy writes: a new file, a stream, a device, or an image that is there. Used by one thread. */
final class Targets implements AutoCloseable {
    private static final String STANDARD_OUTPUT = "standard output";

    private final ConversionOptions options;
    private final @Nullable Qcow2Header header;

    /** A file that is still to get its name; null for what is written in its place. */
    private @Nullable TargetFile file;

    /** A device that an image is written to. */
    private @Nullable OfflineFile device;

    /** @param header of the image to be made; null for a raw one */
    Targets(ConversionOptions options, @Nullable Qcow2Header header) {
        this.options = options;
        this.header = header;
    }

    /**
     * @param sizeBytes the source's size, or {@link ImageSource#UNKNOWN}
     * @param startBytes how much of the target has been written already
     */
    ImageTarget open(long sizeBytes, long startBytes) throws IOException {
        if (header == null) {
            options.targetOptions().checkKeys("raw", Set.of("preallocation"));
        }
        if (options.target().equals("-")) {
            return stream();
        }
        boolean isDevice = isDevice(options.target());
        if (options.existing() || (isDevice && header == null)) {
            return new ChannelTarget(
                    openExisting(), options.target(), sizeBytes, options.targetIsZero(), storesZeroes());
        }
        if (options.targetCache().direct()) {
            throw new IllegalArgumentException(
                    "-t " + options.targetCache().name().toLowerCase(Locale.ROOT)
                            + ": new images are written through the page cache; it is for raw devices, and for targets of -n");
        }
        if (isDevice) {
            OfflineFile opened = OfflineFile.open(options.target(), true, false);
            device = opened;
            return qcow2(opened, false);
        }
        TargetFile created =
                options.resume() ? TargetFile.resume(options.target()) : TargetFile.create(options.target());
        file = created;
        if (header != null) {
            return qcow2(created.file(), true);
        }
        return options.compression() == null
                ? new RawTarget(created.file(), preallocation(), sizeBytes, startBytes)
                : new CompressedStreamTarget(openChannel(created), options.target(), true);
    }

    private FileChannel openChannel(TargetFile created) throws IOException {
        try {
            return FileChannel.open(created.temporary(), StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new IOException(options.target() + ": cannot be opened: " + TargetFile.reason(e), e);
        }
    }

    private ImageTarget stream() {
        if (header != null) {
            throw new IllegalArgumentException("-O qcow2: standard output takes raw images only, compressed or not:"
                    + " a qcow2 image is not written from its beginning to its end");
        }
        FileChannel out = new FileOutputStream(FileDescriptor.out).getChannel();
        return options.compression() == null
                ? new StreamTarget(out, STANDARD_OUTPUT)
                : new CompressedStreamTarget(out, STANDARD_OUTPUT, false);
    }

    private static boolean isDevice(String path) throws IOException {
        if (!Files.exists(Path.of(path))) {
            return false;
        }
        Kind kind;
        try {
            kind = FileStatus.of(path).kind();
        } catch (IOException e) {
            throw new IOException(path + ": cannot be opened: " + e.getMessage(), e);
        }
        if (kind != Kind.BLOCK_DEVICE && kind != Kind.REGULAR_FILE) {
            throw new IOException(path + ": is " + kind + ", not a regular file or a block device");
        }
        return kind == Kind.BLOCK_DEVICE;
    }

    private BlockDriver openExisting() throws IOException {
        ImageType type =
                options.existing() ? ImageType.valueOf(options.targetFormat().toUpperCase(Locale.ROOT)) : ImageType.RAW;
        return BlockDrivers.open(BlockOptions.of(options.target())
                .withType(type)
                .withEngine(IoEngine.THREADS)
                .withCacheMode(options.targetCache()));
    }

    private ImageTarget qcow2(OfflineFile container, boolean sparse) throws IOException {
        Qcow2Header template = Objects.requireNonNull(header);
        Qcow2Writer writer = new Qcow2Writer(container, template);
        Qcow2Target plain = new Qcow2Target(writer, template.backingFile() != null, sparse, storesZeroes());
        return options.compression() == null ? plain : new CompressedQcow2Target(writer, plain);
    }

    private boolean storesZeroes() {
        return options.zeroUnitBytes() == 0;
    }

    private RawTarget.Preallocation preallocation() {
        String text = options.targetOptions().value("preallocation", "off");
        return switch (text) {
            case "off" -> storesZeroes() ? RawTarget.Preallocation.FULL : RawTarget.Preallocation.OFF;
            case "falloc" -> RawTarget.Preallocation.FALLOC;
            case "full" -> RawTarget.Preallocation.FULL;
            default -> throw new IllegalArgumentException("preallocation: '" + text + "' is none of off, falloc, full");
        };
    }

    /** The target is whole: makes it stable, and gives it its name. */
    void commit() throws IOException {
        boolean stable = !options.targetCache().noFlush();
        if (file != null) {
            file.commit(stable);
        }
        if (device != null && stable) {
            device.sync();
        }
    }

    /** Makes what has been written so far stable. */
    void sync(ImageTarget target) throws IOException {
        if (file != null) {
            file.file().sync();
        } else {
            target.finish(0); // a disk in its place: a flush
        }
    }

    /** A file that has not got its name yet stays under its other one. */
    void keep() {
        if (file != null) {
            file.keep();
        }
    }

    @Override
    public void close() {
        if (file != null) {
            file.close();
        }
        if (device != null) {
            device.close();
        }
    }
}
