// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several front ends at once on one socket, each with a session and a device of its own. */
final class SeveralClientsTest {
    @TempDir
    private Path directory;

    private BackendUnderTest backend(int clientsMax) throws IOException {
        return new BackendUnderTest(
                ListenerOptions.atPath(directory.resolve("vhost.sock").toString())
                        .withClientsMax(clientsMax));
    }

    private static VhostUserFrontend negotiated(BackendUnderTest backend) throws IOException {
        VhostUserFrontend frontend = backend.connect();
        frontend.setProtocolFeatures(frontend.getProtocolFeatures());
        return frontend.needReply(true);
    }

    @Test
    void shouldServeAsManyAsAllowedAndLetTheNextWait() throws Exception {
        try (BackendUnderTest backend = backend(2)) {
            VhostUserFrontend first = negotiated(backend);
            serveTheThirdWhenTheFirstLeaves(backend, first);
        }
    }

    private static void serveTheThirdWhenTheFirstLeaves(BackendUnderTest backend, VhostUserFrontend first)
            throws Exception {
        try (VhostUserFrontend second = negotiated(backend);
                VhostUserFrontend third = backend.connect()) {
            RecordingDevice firstDevice = backend.nextDevice();
            RecordingDevice secondDevice = backend.nextDevice();
            third.send(FrontendRequest.GET_FEATURES, 0, Wire.empty());
            assertThat(first.setFeatures(1L << 32)).isTrue();
            assertThat(second.setFeatures(1L << 30 | 1L << 32)).isTrue();
            assertThat(List.of(firstDevice.calls.getLast(), secondDevice.calls.getLast()))
                    .containsExactlyInAnyOrder("features 100000000", "features 140000000");
            assertThat(third.hasEnded()).isFalse(); // Nor answered.

            first.close();

            assertThat(third.receiveReply(FrontendRequest.GET_FEATURES, Long.BYTES)
                            .getLong())
                    .isNotZero();
            assertThat(second.getFeatures()).isNotZero();
        }
    }

    @Test
    void shouldNotLetTheMistakeOfOneEndTheOthers() throws Exception {
        try (BackendUnderTest backend = backend(2);
                VhostUserFrontend good = negotiated(backend);
                VhostUserFrontend bad = negotiated(backend)) {
            bad.sendRaw(new byte[12]); // Protocol version 0.
            assertThat(bad.awaitEnd()).isTrue();
            assertThat(good.setFeatures(1L << 32)).isTrue();
        }
    }

    @Test
    void shouldTellAllOfANewConfiguration() throws Exception {
        try (BackendUnderTest backend = backend(2);
                VhostUserFrontend first = negotiated(backend);
                VhostUserFrontend second = negotiated(backend);
                BackendMessages toFirst = BackendMessages.open();
                BackendMessages toSecond = BackendMessages.open()) {
            assertThat(first.setBackendReqFd(toFirst.passedFd())).isTrue();
            assertThat(backend.server().notifyConfigChanged()).isFalse();
            assertThat(second.setBackendReqFd(toSecond.passedFd())).isTrue();
            assertThat(backend.server().notifyConfigChanged()).isTrue();
            assertThat(toFirst.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(toFirst.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(toSecond.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(toSecond.hasNext()).isFalse();
        }
    }

    @Test
    void shouldEndAllSessionsOnClose() throws Exception {
        List<VhostUserFrontend> frontends = new ArrayList<>();
        List<RecordingDevice> devices = new ArrayList<>();
        try (BackendUnderTest backend = backend(3)) {
            for (int i = 0; i < 3; i++) {
                frontends.add(negotiated(backend));
                devices.add(backend.nextDevice());
            }
        } // Which waits until the loop has ended.
        for (RecordingDevice device : devices) {
            assertThat(device.calls).contains("close");
        }
        for (VhostUserFrontend frontend : frontends) {
            assertThat(frontend.awaitEnd()).isTrue();
            frontend.close();
        }
    }

    @Test
    void shouldLeaveNothingBehindHoweverManyComeAndGo() throws Exception {
        try (BackendUnderTest backend = backend(2)) {
            comeAndGo(backend);
            ProcessResources before = ProcessResources.now();
            for (int i = 0; i < 50; i++) {
                comeAndGo(backend);
            }
            ProcessResources now = ProcessResources.now();
            // Each wait of the test's control context keeps an eventfd until the end: one a connection. The last ones
            // are
            // closed a moment after their devices, with the few descriptors that each has; a leak would be 50.
            assertThat(now.fds() - before.fds()).isBetween(40L, 60L);
            assertThat(now.guestMappings()).isEqualTo(before.guestMappings());
        }
    }

    private static void comeAndGo(BackendUnderTest backend) throws Exception {
        try (VhostUserFrontend frontend = negotiated(backend)) {
            assertThat(frontend.setFeatures(1L << 32)).isTrue();
        }
        backend.nextDevice().awaitClosed();
    }
}
