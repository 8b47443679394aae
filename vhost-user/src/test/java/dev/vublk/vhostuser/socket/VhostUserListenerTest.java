// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.PollControlContext;
import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.session.VhostUserServer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The socket file, inherited sockets, one front end after the other, and the end. */
final class VhostUserListenerTest {
    @TempDir
    private Path directory;

    private final PollControlContext control = new PollControlContext();
    private ProcessResources before = ProcessResources.now();
    private Path path = Path.of("");

    @BeforeEach
    void begin() {
        path = directory.resolve("vhost.sock");
        // The first use of sockets, libc and file systems opens what stays open.
        close(server(ListenerOptions.atPath(path.toString())));
        before = ProcessResources.now();
    }

    @AfterEach
    void end() {
        control.close();
    }

    private static void close(VhostUserServer server) {
        try (server) {
            server.bind();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private VhostUserServer server(ListenerOptions options) {
        return new VhostUserServer(options, control, RecordingDevice::new);
    }

    private static void expectRefusal(ListenerOptions options, String... words) {
        long fds = ProcessResources.now().fds();
        refuse(options, words);
        assertThat(ProcessResources.now().fds()).isEqualTo(fds);
    }

    private static void refuse(ListenerOptions options, String... words) {
        try (PollControlContext own = new PollControlContext();
                VhostUserServer server = new VhostUserServer(options, own, RecordingDevice::new)) {
            assertThatThrownBy(server::bind)
                    .isInstanceOf(IOException.class)
                    .hasMessageContainingAll(words)
                    .hasMessageNotContaining("\n");
        }
    }

    // ---- the socket file

    @Test
    void shouldMakeASocketThatOnlyItsOwnerMayUse() throws Exception {
        try (BackendUnderTest _ = new BackendUnderTest(directory)) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
                    .isEqualTo("rw-------");
        }
    }

    @Test
    void shouldMakeASocketWithTheModeOwnerAndGroupGiven() throws Exception {
        ListenerOptions options = ListenerOptions.atPath(path.toString())
                .withMode(0660)
                .withOwner(String.valueOf(Files.getAttribute(directory, "unix:uid")))
                .withGroup(Files.getAttribute(directory, "posix:group").toString());
        try (BackendUnderTest _ = new BackendUnderTest(options)) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
                    .isEqualTo("rw-rw----");
        }
    }

    @Test
    void shouldSayThatThereIsNoSuchUserOrGroup() {
        ListenerOptions options = ListenerOptions.atPath(path.toString());
        expectRefusal(options.withOwner("no-such-user"), path.toString(), "no-such-user");
        expectRefusal(options.withGroup("no-such-group"), path.toString(), "no-such-group");
        assertThat(path).doesNotExist();
    }

    @Test
    void shouldReplaceASocketFileThatNobodyListensOn() throws Exception {
        int fd = UnixSocket.create();
        assertThat(UnixSocket.bind(fd, path.toString())).isZero();
        FileDescriptor.close(fd);
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                VhostUserFrontend frontend = backend.connect()) {
            assertThat(frontend.getFeatures()).isNotZero();
        }
    }

    @Test
    void shouldRefuseAPathThatAnotherBackEndListensOn() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory)) {
            refuse(ListenerOptions.atPath(path.toString()), path.toString(), "in use");
            // The probe was a front end that left at once.
            backend.nextDevice();
            try (VhostUserFrontend frontend = backend.connect()) {
                assertThat(frontend.getFeatures()).isNotZero();
            }
        }
    }

    @Test
    void shouldRefuseAPathThatIsNotASocket() throws Exception {
        Files.writeString(path, "precious");
        expectRefusal(ListenerOptions.atPath(path.toString()), path.toString(), "not a socket");
        assertThat(path).hasContent("precious");
        Files.delete(path);
        Files.createSymbolicLink(path, directory.resolve("elsewhere"));
        expectRefusal(ListenerOptions.atPath(path.toString()), path.toString(), "not a socket");
    }

    @Test
    void shouldRefuseAPathInADirectoryThatDoesNotExist() {
        String missing = directory.resolve("missing/vhost.sock").toString();
        expectRefusal(ListenerOptions.atPath(missing), missing, "No such file or directory (ENOENT)");
    }

    @Test
    void shouldTakeAPathOf107BytesAndRefuseOneOf108() throws Exception {
        String longest = directory + "/" + "x".repeat(106 - directory.toString().length());
        assertThat(longest).hasSize(107);
        try (BackendUnderTest backend = new BackendUnderTest(ListenerOptions.atPath(longest));
                VhostUserFrontend frontend = backend.connect()) {
            assertThat(frontend.getFeatures()).isNotZero();
        }
        expectRefusal(ListenerOptions.atPath(longest + "x"), "107", "108");
        // Bytes count, not characters.
        expectRefusal(ListenerOptions.atPath(longest.substring(0, 106) + "\u00e4"), "107", "108");
    }

    @Test
    void shouldRemoveTheSocketFileAtTheEnd() throws Exception {
        BackendUnderTest backend = new BackendUnderTest(directory);
        assertThat(path).exists();
        backend.close();
        assertThat(path).doesNotExist();
        backend.server().close();
    }

    @Test
    void shouldNotRemoveASocketFileThatIsNoLongerItsOwn() throws Exception {
        BackendUnderTest backend = new BackendUnderTest(directory);
        Files.delete(path);
        int fd = UnixSocket.create();
        assertThat(UnixSocket.bind(fd, path.toString())).isZero();
        backend.close();
        assertThat(path).exists();
        FileDescriptor.close(fd);
    }

    @Test
    void shouldNotMindThatItsSocketFileHasGone() throws Exception {
        try (BackendUnderTest _ = new BackendUnderTest(directory)) {
            Files.delete(path);
        }
        assertThat(path).doesNotExist();
    }

    // ---- one front end after the other

    @Test
    void shouldServeTheNextFrontEndWhenTheOneBeforeHasLeft() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory)) {
            VhostUserFrontend first = backend.connect();
            first.getFeatures();
            try (VhostUserFrontend second = backend.connect()) {
                second.needReply(true);
                Thread waiting = Thread.ofPlatform().start(() -> unchecked(second::setOwner));
                RecordingDevice firstDevice = backend.nextDevice();
                // The second has sent its message and waits; the first is still the one that is served.
                first.getFeatures();
                assertThat(waiting.isAlive()).isTrue();
                first.close();
                firstDevice.awaitClosed();
                assertThat(waiting.join(Duration.ofSeconds(20))).isTrue();
                backend.nextDevice();
                assertThat(second.getFeatures()).isNotZero();
            }
        }
    }

    private interface Exchange {
        boolean run() throws IOException;
    }

    private static void unchecked(Exchange exchange) {
        try {
            assertThat(exchange.run()).isTrue();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void shouldGiveEachFrontEndADeviceOfItsOwn() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory)) {
            RecordingDevice device = null;
            for (int i = 0; i < 3; i++) {
                try (VhostUserFrontend frontend = backend.connect()) {
                    frontend.getFeatures();
                    RecordingDevice next = backend.nextDevice();
                    assertThat(next).isNotSameAs(device);
                    device = next;
                }
                device.awaitClosed();
                assertThat(device.calls).containsExactly("close");
            }
        }
    }

    @Test
    void shouldGoOnWhenADeviceCannotBeMade() throws Exception {
        boolean[] broken = {true};
        VhostUserServer server = new VhostUserServer(ListenerOptions.atPath(path.toString()), control, () -> {
            if (broken[0]) {
                throw new IllegalStateException("no device on purpose");
            }
            return new RecordingDevice();
        });
        server.bind();
        Thread loop = Thread.ofPlatform().start(server::run);
        try (VhostUserFrontend frontend = VhostUserFrontend.connect(path.toString())) {
            assertThat(frontend.awaitEnd()).isTrue();
        }
        broken[0] = false;
        try (VhostUserFrontend frontend = VhostUserFrontend.connect(path.toString())) {
            assertThat(frontend.getFeatures()).isNotZero();
        }
        server.close();
        assertThat(loop.join(Duration.ofSeconds(20))).isTrue();
    }

    // ---- closing

    @Test
    void shouldStopAcceptingWhenClosedFromAnotherThread() throws Exception {
        BackendUnderTest backend = new BackendUnderTest(directory);
        backend.close();
        assertThat(backend.loop().isAlive()).isFalse();
        assertThatThrownBy(backend::connect).isInstanceOf(IOException.class);
    }

    @Test
    void shouldEndTheSessionWhenClosedFromAnotherThread() throws Exception {
        BackendUnderTest backend = new BackendUnderTest(directory);
        try (VhostUserFrontend frontend = backend.connect();
                VhostUserFrontend waiting = backend.connect()) {
            frontend.getFeatures();
            backend.close();
            assertThat(backend.nextDevice().calls).containsExactly("close");
            assertThat(frontend.awaitEnd()).isTrue();
            assertThat(waiting.awaitEnd()).isTrue();
        }
    }

    @Test
    void shouldEndInTheMiddleOfAMessageWhenClosed() throws Exception {
        BackendUnderTest backend = new BackendUnderTest(directory);
        try (VhostUserFrontend frontend = backend.connect()) {
            frontend.getFeatures();
            frontend.sendRaw(new byte[] {1, 0, 0});
            backend.close();
            assertThat(frontend.awaitEnd()).isTrue();
        }
    }

    @Test
    void shouldReturnAtOnceWhenClosedBeforeItRuns() throws Exception {
        VhostUserServer server = server(ListenerOptions.atPath(path.toString()));
        server.bind();
        server.close();
        server.run();
        assertThat(path).doesNotExist();
        server.close();
        // The wait token of the context stays open until the context is closed.
        assertThat(ProcessResources.now().fds()).isEqualTo(before.fds() + 1);
    }

    // ---- inherited sockets

    @Test
    void shouldServeOnAnInheritedListeningSocket() throws Exception {
        int fd = UnixSocket.create();
        assertThat(UnixSocket.bind(fd, path.toString())).isZero();
        assertThat(UnixSocket.listen(fd, 1)).isZero();
        try (BackendUnderTest _ = new BackendUnderTest(ListenerOptions.inherited(fd))) {
            for (int i = 0; i < 2; i++) {
                try (VhostUserFrontend frontend = VhostUserFrontend.connect(path.toString())) {
                    assertThat(frontend.getFeatures()).isNotZero();
                }
            }
        }
        // Whoever made the file removes it.
        assertThat(path).exists();
        assertThat(FileStatus.ofDescriptor(fd)).isNull();
    }

    @Test
    void shouldServeAnInheritedConnectionAndThenReturn() throws Exception {
        int listenFd = UnixSocket.create();
        assertThat(UnixSocket.bind(listenFd, path.toString())).isZero();
        assertThat(UnixSocket.listen(listenFd, 1)).isZero();
        VhostUserFrontend frontend = VhostUserFrontend.connect(path.toString());
        int fd = UnixSocket.accept(listenFd);
        FileDescriptor.close(listenFd);
        try (BackendUnderTest backend = new BackendUnderTest(ListenerOptions.inherited(fd))) {
            assertThat(frontend.getFeatures()).isNotZero();
            frontend.close();
            assertThat(backend.loop().join(Duration.ofSeconds(20))).isTrue();
            backend.nextDevice().awaitClosed();
        }
        assertThat(FileStatus.ofDescriptor(fd)).isNull();
    }

    @Test
    void shouldRefuseAnInheritedDescriptorThatIsNoUnixSocket() {
        int fd = EventFd.create();
        expectRefusal(ListenerOptions.inherited(fd), "fd " + fd, "not a stream socket");
        FileDescriptor.close(fd);
        expectRefusal(ListenerOptions.inherited(fd), "fd " + fd, "not a stream socket");
    }

    @Test
    void shouldRefuseOptionsThatContradictEachOther() {
        assertThatThrownBy(() -> new ListenerOptions("/x", 3, 0600, null, null))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new ListenerOptions(null, -1, 0600, null, null))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> ListenerOptions.atPath("/x").withMode(01777))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
