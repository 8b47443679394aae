// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.UnixSocket;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * Accepts front ends, as many at a time as the options say; the next waits in the backlog until one has left.
 *
 * <p>{@link #run} runs on the control loop; {@link #close} may be called from any thread and makes it return.
 */
public final class VhostUserListener implements AutoCloseable {
    private static final Logger LOGGER = LogManager.getLogger(VhostUserListener.class);

    /** Front ends that may wait; one does ordinarily (a reconnecting one). Arbitrary. */
    private static final int BACKLOG = 16;

    private enum State {
        NEW,
        BOUND,
        RUNNING,
        CLOSED
    }

    private final ListenerOptions options;
    private final ControlContext control;
    private final ConnectionHandler handler;
    private final WaitCancel cancel;
    private final ConnectedClients clients;
    private final AtomicReference<State> state = new AtomicReference<>(State.NEW);

    private int fd = -1;
    private boolean connected;
    private volatile @Nullable SocketFile socketFile;

    /** A descriptor given up when there are no others left, so that a front end can be turned away. */
    private int reserveFd = -1;

    public VhostUserListener(ListenerOptions options, ControlContext control, ConnectionHandler handler) {
        this.options = requireNonNull(options, "options");
        this.control = requireNonNull(control, "control");
        this.handler = requireNonNull(handler, "handler");
        this.cancel = control.newWaitCancel();
        this.clients = new ConnectedClients(options.clientsMax(), control, this::serve);
    }

    /** Makes the socket, or takes the inherited one over. Front ends can connect from then on. */
    public void bind() throws IOException {
        if (state.get() != State.NEW) {
            throw new IllegalStateException("bound already, or closed");
        }
        if (options.path() == null) {
            takeInherited(options.inheritedFd());
        } else {
            listenAtPath();
        }
        if (!state.compareAndSet(State.NEW, State.BOUND)) {
            release();
            throw new IOException(options.describe() + ": closed meanwhile");
        }
    }

    private void listenAtPath() throws IOException {
        int newFd = UnixSocket.create();
        if (newFd < 0) {
            throw new IOException("cannot create a socket: " + Errno.describe(newFd));
        }
        SocketFile newFile = null;
        boolean listening = false;
        try {
            newFile = SocketFile.bind(newFd, options);
            int result = UnixSocket.listen(newFd, BACKLOG);
            if (result < 0) {
                throw new IOException(options.describe() + ": cannot listen: " + Errno.describe(result));
            }
            listening = true;
        } finally {
            if (!listening) {
                if (newFile != null) {
                    newFile.remove();
                }
                FileDescriptor.close(newFd);
            }
        }
        fd = newFd;
        socketFile = newFile;
    }

    private void takeInherited(int inheritedFd) throws IOException {
        if (!UnixSocket.isUnixStream(inheritedFd)) {
            throw new IOException(options.describe() + ": is not a stream socket of the Unix domain");
        }
        // Accepting must not block the loop when the front end has gone again between the wait and the call.
        FileDescriptor.setNonBlocking(inheritedFd);
        FileDescriptor.setCloseOnExec(inheritedFd);
        connected = !UnixSocket.isListening(inheritedFd);
        fd = inheritedFd;
    }

    /** Accepts and serves until {@link #close}; or, when the inherited socket was a connected one, serves just that. */
    public void run() {
        if (!state.compareAndSet(State.BOUND, State.RUNNING)) {
            if (state.get() == State.CLOSED) {
                return;
            }
            throw new IllegalStateException("not bound, or running already");
        }
        try {
            if (connected) {
                int connectionFd = fd;
                fd = -1; // The connection owns it now.
                serve(connectionFd, cancel);
            } else {
                reserveFd = EventFd.create();
                acceptLoop();
            }
        } catch (IOException e) {
            LOGGER.error("{}: no more front ends are accepted: {}", options.describe(), e.getMessage());
        } finally {
            state.set(State.CLOSED);
            release();
        }
    }

    private void acceptLoop() throws IOException {
        if (options.clientsMax() == 1) {
            acceptLoop(connectionFd -> serve(connectionFd, cancel));
            return;
        }
        try {
            clients.open();
            acceptLoop(clients::add);
        } finally {
            clients.cancelAll();
            clients.awaitNone();
            clients.close();
        }
    }

    private void acceptLoop(IntConsumer connected) throws IOException {
        while (clients.awaitRoom(cancel) && control.awaitReadable(fd, cancel) && !cancel.isCancelled()) {
            int result = UnixSocket.accept(fd);
            if (result >= 0) {
                connected.accept(result);
            } else if (result == -Errno.EMFILE || result == -Errno.ENFILE) {
                turnAway();
            } else if (result != -Errno.EAGAIN && result != -Errno.EINTR && result != -Errno.ECONNABORTED) {
                throw new IOException("accept: " + Errno.describe(result));
            }
        }
    }

    private void serve(int connectionFd, WaitCancel connectionCancel) {
        LOGGER.info("{}: front end connected", options.describe());
        try (VhostUserConnection connection =
                new VhostUserConnection(connectionFd, options.describe(), control, connectionCancel)) {
            handler.serve(connection);
        } catch (RuntimeException | InternalError e) {
            // InternalError: the guest has truncated memory that we read. One session's failure is not the next one's.
            LOGGER.error("{}: session failed", options.describe(), e);
        }
        LOGGER.info("{}: front end disconnected", options.describe());
    }

    /** The process has too many open files: without an accept the socket would stay readable and the loop would spin. */
    private void turnAway() throws IOException {
        LOGGER.warn("{}: front end turned away: too many open files", options.describe());
        if (reserveFd < 0) {
            throw new IOException("too many open files");
        }
        FileDescriptor.close(reserveFd);
        int result = UnixSocket.accept(fd);
        if (result >= 0) {
            FileDescriptor.close(result);
        }
        reserveFd = EventFd.create();
    }

    /** Stops accepting, ends the present session, removes the socket file. Any thread; does not wait for {@link #run}. */
    @Override
    public void close() {
        removeSocketFile();
        State before = state.getAndSet(State.CLOSED);
        cancel.cancel();
        clients.cancelAll();
        if (before == State.BOUND) {
            release();
        }
    }

    private void release() {
        removeSocketFile();
        if (fd >= 0) {
            FileDescriptor.close(fd);
            fd = -1;
        }
        if (reserveFd >= 0) {
            FileDescriptor.close(reserveFd);
            reserveFd = -1;
        }
    }

    private void removeSocketFile() {
        SocketFile file = socketFile;
        if (file == null) {
            return;
        }
        try {
            file.remove();
        } catch (IOException e) {
            LOGGER.warn("{}: cannot remove the socket file: {}", options.describe(), e.getMessage());
        }
    }
}
