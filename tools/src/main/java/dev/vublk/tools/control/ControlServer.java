// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.control;

import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * Listens on a Unix socket of a running export for programs of its user, which can read a disk's state of one moment, and make a
 * disk larger. A thread accepts, and one serves each connection.
 */
public final class ControlServer implements AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(ControlServer.class);

    private final Emulator emulator;
    private final List<DiskConfig> disks;
    private final Path path;
    private final SnapshotLimits limits;
    private final ServerSocketChannel socket;
    private final Set<Thread> connections = ConcurrentHashMap.newKeySet();
    private final Set<SocketChannel> channels = ConcurrentHashMap.newKeySet();
    private final Thread acceptor;
    private volatile boolean closing;

    /**
     * Begins to listen. Only the user who runs the export can connect.
     *
     * @throws IOException the socket cannot be made: one line for the user
     */
    public ControlServer(Emulator emulator, List<DiskConfig> disks, Path path, SnapshotLimits limits)
            throws IOException {
        this.emulator = emulator;
        this.disks = disks;
        this.path = path;
        this.limits = limits;
        socket = bind(path);
        acceptor = Thread.ofPlatform().name("vublk-control-socket").daemon().start(this::accept);
    }

    /** The socket appears under its name with its mode: before, it is in a directory that nobody else may enter. */
    private static ServerSocketChannel bind(Path path) throws IOException {
        if (Files.exists(path)) {
            throw new IOException(path + ": is there already: another vublk may be listening, else remove it");
        }
        Path directory = null;
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            directory = Files.createTempDirectory(
                    path.toAbsolutePath().getParent(),
                    ".vublk-",
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            Path hidden = directory.resolve("s");
            server.bind(UnixDomainSocketAddress.of(hidden));
            Files.setPosixFilePermissions(hidden, PosixFilePermissions.fromString("rw-------"));
            Files.move(hidden, path, StandardCopyOption.ATOMIC_MOVE);
            return server;
        } catch (IOException e) {
            server.close();
            throw new IOException(path + ": cannot listen there: " + e.getMessage(), e);
        } finally {
            if (directory != null) {
                Files.deleteIfExists(directory.resolve("s"));
                Files.delete(directory);
            }
        }
    }

    private void accept() {
        while (!closing) {
            try {
                SocketChannel channel = socket.accept();
                channels.add(channel);
                connections.add(Thread.ofPlatform()
                        .name("vublk-control-client")
                        .daemon()
                        .start(() -> serve(channel)));
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException e) {
                LOG.warn("{}: a connection failed: {}", path, e.getMessage());
            }
        }
    }

    private void serve(SocketChannel channel) {
        try (ControlConnection connection = new ControlConnection(channel, emulator, disks, limits)) {
            connection.serve();
        } catch (IOException e) {
            LOG.debug("{}: a connection ended: {}", path, e.getMessage());
        } finally {
            channels.remove(channel);
            connections.remove(Thread.currentThread());
        }
    }

    /** Ends every connection, and with it every snapshot; removes the socket. */
    @Override
    public void close() throws IOException {
        closing = true;
        socket.close();
        Files.deleteIfExists(path);
        for (SocketChannel channel : channels) {
            channel.close();
        }
        for (Thread thread : connections) {
            join(thread);
        }
        join(acceptor);
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
