// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.socket.ListenerOptions;
import dev.vublk.vhostuser.socket.VhostUserConnection;
import dev.vublk.vhostuser.socket.VhostUserListener;
import dev.vublk.vhostuser.socket.VhostUserMessage;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/**
 * One disk or other device on one socket: serves front ends one after the other, or several at once, each with a session and a
 * device of its own.
 *
 * <p>{@link #run} and {@link #notifyConfigChanged} run on the control loop; {@link #close} may be called from any thread.
 */
public final class VhostUserServer implements AutoCloseable {
    private final SessionOptions options;
    private final ControlContext control;
    private final Supplier<VhostUserDevice> devices;
    private final VhostUserListener listener;
    private final List<VhostUserSession> sessions = new CopyOnWriteArrayList<>();

    public VhostUserServer(ListenerOptions listener, ControlContext control, Supplier<VhostUserDevice> devices) {
        this(listener, SessionOptions.DEFAULT, control, devices);
    }

    public VhostUserServer(
            ListenerOptions listener,
            SessionOptions options,
            ControlContext control,
            Supplier<VhostUserDevice> devices) {
        this.options = UserFault.isAvailable()
                ? requireNonNull(options, "options")
                : options.without(OptionalFeature.POSTCOPY);
        this.control = requireNonNull(control, "control");
        this.devices = requireNonNull(devices, "devices");
        this.listener = new VhostUserListener(listener, control, this::serve);
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
        try (VhostUserSession served = new VhostUserSession(connection.name(), devices.get(), options, control)) {
            sessions.add(served);
            try {
                exchange(connection, served);
            } finally {
                sessions.remove(served);
            }
        }
    }

    private static void exchange(VhostUserConnection connection, VhostUserSession session) {
        RequestDispatcher dispatcher = new RequestDispatcher(session, connection);
        try {
            VhostUserMessage next = connection.receive();
            while (next != null) {
                try (VhostUserMessage message = next) {
                    dispatch(session, dispatcher, message);
                }
                next = connection.receive();
            }
        } catch (VhostUserProtocolException | IOException e) {
            session.warn(String.valueOf(e.getMessage()));
        }
    }

    private static void dispatch(VhostUserSession session, RequestDispatcher dispatcher, VhostUserMessage message)
            throws IOException, VhostUserProtocolException {
        session.turn().take();
        try {
            dispatcher.dispatch(message);
        } finally {
            session.turn().release();
        }
    }

    /**
     * Tells every front end that listens that the configuration space has changed. Best effort.
     *
     * @return whether there is any, and the message went out to all that are connected
     */
    public boolean notifyConfigChanged() {
        boolean told = !sessions.isEmpty();
        for (VhostUserSession session : sessions) {
            told &= session.notifyConfigChanged();
        }
        return told;
    }

    /** Ends the present sessions and makes {@link #run} return; removes the socket file. Does not wait. */
    @Override
    public void close() {
        listener.close();
    }
}
