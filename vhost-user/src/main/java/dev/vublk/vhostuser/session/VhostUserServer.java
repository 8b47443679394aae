// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.socket.ListenerOptions;
import dev.vublk.vhostuser.socket.VhostUserConnection;
import dev.vublk.vhostuser.socket.VhostUserListener;
import dev.vublk.vhostuser.socket.VhostUserMessage;
import java.io.IOException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One device on one socket: serves one front end after the other, each with a session and a device of its own.
 *
 * <p>{@link #run} and {@link #notifyConfigChanged} run on the control loop; {@link #close} may be called from any thread.
 */
public final class VhostUserServer implements AutoCloseable {
    private final Supplier<VhostUserDevice> devices;
    private final VhostUserListener listener;
    private @Nullable VhostUserSession session;

    public VhostUserServer(ListenerOptions options, ControlContext control, Supplier<VhostUserDevice> devices) {
        this.devices = requireNonNull(devices, "devices");
        this.listener = new VhostUserListener(options, control, this::serve);
    }

    /** Makes the socket; front ends can connect from then on. The exception says in one line why that cannot be. */
    public void bind() throws IOException {
        listener.bind();
    }

    /** Accepts and serves until {@link #close}; or the one connection that was inherited, until its end. */
    public void run() {
        listener.run();
    }

    private void serve(VhostUserConnection connection) {
        try (VhostUserSession served = new VhostUserSession(connection.name(), devices.get())) {
            session = served;
            exchange(connection, served);
        } finally {
            session = null;
        }
    }

    private static void exchange(VhostUserConnection connection, VhostUserSession session) {
        RequestDispatcher dispatcher = new RequestDispatcher(session, connection);
        try {
            VhostUserMessage next = connection.receive();
            while (next != null) {
                try (VhostUserMessage message = next) {
                    dispatcher.dispatch(message);
                }
                next = connection.receive();
            }
        } catch (VhostUserProtocolException | IOException e) {
            session.warn(String.valueOf(e.getMessage()));
        }
    }

    /**
     * Tells the front end, if there is one that listens, that the configuration space has changed. Best effort.
     *
     * @return whether the message went out
     */
    public boolean notifyConfigChanged() {
        return session != null && session.notifyConfigChanged();
    }

    /** Ends the present session and makes {@link #run} return; removes the socket file. Does not wait. */
    @Override
    public void close() {
        listener.close();
    }
}
