// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.session.VhostUserServer;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A server with recording devices on a thread of its own. */
public final class BackendUnderTest implements AutoCloseable {
    private static final int TIMEOUT_S = 20;

    private final PollControlContext control = new PollControlContext();
    private final LinkedBlockingQueue<RecordingDevice> devices = new LinkedBlockingQueue<>();
    private final String path;
    private final VhostUserServer server;
    private final Thread loop;

    public BackendUnderTest(Path directory) throws IOException {
        this(ListenerOptions.atPath(directory.resolve("vhost.sock").toString()));
    }

    public BackendUnderTest(ListenerOptions options) throws IOException {
        this(options, SessionOptions.DEFAULT);
    }

    public BackendUnderTest(ListenerOptions options, SessionOptions session) throws IOException {
        path = options.path() == null ? "" : options.path();
        server = new VhostUserServer(options, session, control, this::newDevice);
        server.bind();
        loop = Thread.ofPlatform().name("control-loop").start(server::run);
    }

    private RecordingDevice newDevice() {
        RecordingDevice device = new RecordingDevice();
        devices.add(device);
        return device;
    }

    public String path() {
        return path;
    }

    public VhostUserServer server() {
        return server;
    }

    public Thread loop() {
        return loop;
    }

    public VhostUserFrontend connect() throws IOException {
        return VhostUserFrontend.connect(path);
    }

    /** The device of the next session that has not been asked for yet. */
    public RecordingDevice nextDevice() throws InterruptedException {
        RecordingDevice device = devices.poll(TIMEOUT_S, TimeUnit.SECONDS);
        if (device == null) {
            throw new AssertionError("no session began");
        }
        return device;
    }

    /** Closes the server and waits for its thread. */
    @Override
    public void close() {
        server.close();
        try {
            if (!loop.join(Duration.ofSeconds(TIMEOUT_S))) {
                throw new AssertionError("the control loop did not end");
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        control.close();
    }
}
