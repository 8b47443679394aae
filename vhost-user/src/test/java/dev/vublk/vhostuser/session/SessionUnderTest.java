// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.socket.ListenerOptions;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A back end with one front end connected to it, a mebibyte of guest memory, and places for rings in it. */
final class SessionUnderTest implements AutoCloseable {
    static final int RING_SIZE = 128;
    static final long GUEST_ADDRESS = 0x4000_0000L;
    static final long MEMORY_BYTES = 1 << 20;

    private static final long RING_STRIDE = 0x10000;
    private static final long AVAIL_OFFSET = 0x4000;
    private static final long USED_OFFSET = 0x8000;

    final BackendUnderTest backend;
    final FrontendMemory memory = FrontendMemory.create(GUEST_ADDRESS, MEMORY_BYTES);
    VhostUserFrontend frontend;
    RecordingDevice device;
    private final List<Integer> eventFds = new ArrayList<>();

    SessionUnderTest(Path directory) throws Exception {
        this(directory, SessionOptions.DEFAULT);
    }

    SessionUnderTest(Path directory, SessionOptions options) throws Exception {
        backend = new BackendUnderTest(
                ListenerOptions.atPath(directory.resolve("vhost.sock").toString()), options);
        frontend = backend.connect();
        device = backend.nextDevice();
    }

    /** Leaves, and connects anew. */
    void reconnect() throws Exception {
        frontend.close();
        device.awaitClosed();
        frontend = backend.connect();
        device = backend.nextDevice();
    }

    /** Takes all that is offered but packed rings, and asks for acknowledgements from then on. */
    SessionUnderTest negotiate() throws IOException {
        return negotiate(frontend.getFeatures() & ~VirtioFeature.VIRTIO_F_RING_PACKED);
    }

    /** The same with packed rings. */
    SessionUnderTest negotiatePacked() throws IOException {
        return negotiate(frontend.getFeatures());
    }

    private SessionUnderTest negotiate(long features) throws IOException {
        frontend.setProtocolFeatures(frontend.getProtocolFeatures());
        frontend.needReply(true);
        assertThat(frontend.setOwner()).isTrue();
        assertThat(frontend.setFeatures(features)).isTrue();
        return this;
    }

    /** The above, and the memory table. */
    SessionUnderTest negotiateWithMemory() throws IOException {
        negotiate();
        assertThat(frontend.setMemTable(memory)).isTrue();
        return this;
    }

    long desc(int index) {
        return memory.hostAddress() + index * RING_STRIDE;
    }

    long avail(int index) {
        return desc(index) + AVAIL_OFFSET;
    }

    long used(int index) {
        return desc(index) + USED_OFFSET;
    }

    boolean setVringAddr(int index) throws IOException {
        return frontend.setVringAddr(index, desc(index), avail(index), used(index));
    }

    /** Everything that ring needs but SET_VRING_ENABLE. */
    SessionUnderTest prepareRing(int index) throws IOException {
        assertThat(frontend.setVringNum(index, RING_SIZE)).isTrue();
        assertThat(frontend.setVringBase(index, 0)).isTrue();
        assertThat(setVringAddr(index)).isTrue();
        assertThat(frontend.setVringKick(index, eventFd())).isTrue();
        return this;
    }

    SessionUnderTest runRing(int index) throws IOException {
        prepareRing(index);
        assertThat(frontend.setVringEnable(index, true)).isTrue();
        assertThat(device.running).containsKey(index);
        return this;
    }

    /** A new eventfd of the front end's, closed at the end of the test. */
    int eventFd() {
        int fd = EventFd.create();
        eventFds.add(fd);
        return fd;
    }

    /** Whether the session still answers. */
    void assertAlive() throws IOException {
        assertThat(frontend.getFeatures()).isNotZero();
        assertThat(device.broken()).isEmpty();
    }

    /** Whether the back end has ended this session, and serves the next one. */
    void assertEndedAndServing() throws Exception {
        assertThat(frontend.awaitEnd()).isTrue();
        device.awaitClosed();
        assertThat(device.running).isEmpty();
        assertThat(device.broken()).isEmpty();
        reconnect();
        assertAlive();
    }

    @Override
    public void close() {
        frontend.close();
        backend.close();
        memory.close();
        eventFds.forEach(FileDescriptor::close);
        assertThat(device.broken()).isEmpty();
        assertThat(device.running).isEmpty();
    }
}
