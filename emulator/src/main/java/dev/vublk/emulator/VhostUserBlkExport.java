// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.cbw.CopyBeforeWriteDriver;
import dev.vublk.blockdev.cbw.SnapshotStore;
import dev.vublk.emulator.iothread.IOThread;
import dev.vublk.emulator.iothread.LoopControlContext;
import dev.vublk.emulator.virtioblk.DiskCapacity;
import dev.vublk.emulator.virtioblk.DiskPossession;
import dev.vublk.emulator.virtioblk.VirtioBlkDevice;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.session.VhostUserServer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * One disk on one socket: opened, listened for, served, closed. Opened and closed by the emulator's thread; sessions run on
 * the control loop.
 */
final class VhostUserBlkExport implements DiskPossession, AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(VhostUserBlkExport.class);

    private final DiskConfig config;
    private final IOThread controlLoop;
    private final List<IOThread> ioThreads;
    private final BlockDriver driver;
    private final DiskCapacity capacity;
    private final List<BlockChannel> channels = new ArrayList<>();

    /** For the flush when a guest goes elsewhere, in line with those of other guests; null while opening failed. */
    private @Nullable BlockChannel controlChannel;

    private final VhostUserServer server;
    private final CompletableFuture<Void> served = new CompletableFuture<>();
    private final AtomicBoolean hasSnapshot = new AtomicBoolean();
    private boolean serving;

    /** Whoever looks at the disk's size, or changes it, does so alone. */
    private final Object sizeTurn = new Object();

    /** How many devices have the disk in use; control loop. */
    private int guests;

    /** Opens the disk and binds the socket. */
    VhostUserBlkExport(
            DiskConfig config, BlockDriverOpener driverOpener, IOThread controlLoop, List<IOThread> ioThreads)
            throws IOException {
        this.config = config;
        this.controlLoop = controlLoop;
        this.ioThreads = ioThreads;
        driver = driverOpener.open(config.block());
        capacity = new DiskCapacity(driver.limits().sizeBytes());
        server = new VhostUserServer(
                config.listener(), config.session(), new LoopControlContext(controlLoop), this::newDevice);
        try {
            controlChannel = driver.openChannel(controlLoop.ioContext());
            for (IOThread ioThread : ioThreads) {
                channels.add(driver.openChannel(ioThread.ioContext()));
            }
            server.bind();
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    private VhostUserDevice newDevice() {
        return new VirtioBlkDevice(
                config.block().image(),
                controlLoop,
                ioThreads,
                channels,
                driver.limits(),
                capacity,
                this,
                config.device());
    }

    @Override
    public void take() throws VhostUserProtocolException {
        try {
            driver.activate();
            guests++;
        } catch (BlockOpenException e) {
            LOG.error("a guest cannot use its disk: {}", e.getMessage());
            throw new VhostUserProtocolException("the disk cannot be used now: " + e.getMessage());
        }
    }

    @Override
    public void handOver() {
        int result = Objects.requireNonNull(controlChannel).flush();
        guests--;
        if (result < 0) {
            LOG.error(
                    "{}: flush failed (errno {}): the image stays locked, a guest that moved cannot use it elsewhere",
                    config.block().image(),
                    -result);
        } else if (guests == 0) {
            driver.deactivate();
        }
    }

    @Override
    public void leave() {
        guests--;
    }

    BlockLimits limits() {
        return driver.limits();
    }

    /**
     * Looks again how large the disk is; when it has grown, guests may use the new end and are told of it.
     *
     * @throws IOException it has shrunk, which changes nothing, or cannot be measured: one line for the user
     */
    void refreshSize() throws IOException {
        synchronized (sizeTurn) {
            if (driver.refreshSize()) {
                onGrown();
            }
        }
    }

    /**
     * Makes the disk larger; guests may use the new end and are told of it.
     *
     * @throws IOException it cannot be, and is as it was: one line for the user
     */
    void grow(long sizeBytes) throws IOException {
        synchronized (sizeTurn) {
            BlockLimits limits = driver.limits();
            String image = config.block().image();
            if (limits.readOnly()) {
                throw new IOException(image + ": is served read-only");
            }
            if (sizeBytes < limits.sizeBytes()) {
                throw new IOException(image + ": a disk in use cannot become smaller: it has " + limits.sizeBytes()
                        + " bytes, and would have " + sizeBytes);
            }
            if (sizeBytes % limits.logicalBlockBytes() != 0) {
                throw new IOException(image + ": " + sizeBytes + " bytes are no multiple of its block size "
                        + limits.logicalBlockBytes());
            }
            if (driver.grow(sizeBytes)) {
                onGrown();
            }
        }
    }

    private void onGrown() {
        capacity.growTo(driver.limits().sizeBytes());
        controlLoop.execute(() -> {
            if (!server.notifyConfigChanged()) {
                LOG.info(
                        "{}: not every front end could be told of the new size",
                        config.block().image());
            }
        });
    }

    /**
     * Makes the disk's present state readable while guests go on. Blocking; one at a time.
     *
     * @param directory where what guests overwrite is kept
     * @param storeBytesMax how much of it
     * @throws IOException it cannot be had: one line for the user
     */
    ExportSnapshot takeSnapshot(Path directory, long storeBytesMax) throws IOException {
        if (!(driver instanceof CopyBeforeWriteDriver copying)) {
            throw new IOException(config.block().image() + ": is exported without copy-before-write");
        }
        if (driver.limits().zoned() != null) {
            throw new IOException(config.block().image() + ": there are no snapshots of zoned disks");
        }
        if (!hasSnapshot.compareAndSet(false, true)) {
            throw new IOException(config.block().image() + ": somebody is reading a snapshot of it already");
        }
        try {
            synchronized (sizeTurn) {
                BlockDriver store =
                        SnapshotStore.create(directory, driver.limits().sizeBytes());
                return ExportSnapshot.take(
                        copying.disk(), store, storeBytesMax, ioThreads, channels, () -> hasSnapshot.set(false));
            }
        } catch (IOException | RuntimeException e) {
            hasSnapshot.set(false);
            throw e;
        }
    }

    /** Begins to accept front ends. */
    void serve() {
        serving = true;
        controlLoop.spawn(() -> {
            try {
                server.run();
            } catch (Throwable t) {
                LOG.error("{}: the listener failed", config.block().image(), t);
                served.completeExceptionally(t);
            } finally {
                served.complete(null);
            }
        });
    }

    /** Completes when the export accepts nobody any more; exceptionally when its listener failed. */
    CompletableFuture<Void> served() {
        return served;
    }

    /** Ends the session (its queues are drained), removes the socket, closes the disk. */
    @Override
    public void close() {
        server.close();
        if (serving) {
            served.exceptionally(alreadyLogged -> null).join();
        }
        channels.forEach(BlockChannel::close);
        if (controlChannel != null) {
            controlChannel.close();
        }
        driver.close();
    }
}
