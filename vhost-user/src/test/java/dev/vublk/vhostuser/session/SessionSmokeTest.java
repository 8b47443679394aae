// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SessionSmokeTest {
    @TempDir
    private Path directory;

    @Test
    void shouldRunARing() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                VhostUserFrontend frontend = backend.connect();
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20)) {
            long features = frontend.getFeatures();
            RecordingDevice device = backend.nextDevice();
            frontend.setProtocolFeatures(frontend.getProtocolFeatures());
            frontend.needReply(true);
            assertThat(frontend.setOwner()).isTrue();
            assertThat(frontend.setFeatures(features)).isTrue();
            assertThat(frontend.setMemTable(memory)).isTrue();
            assertThat(frontend.setVringNum(0, 128)).isTrue();
            assertThat(frontend.setVringBase(0, 0)).isTrue();
            long ring = memory.hostAddress() + 4096;
            assertThat(frontend.setVringAddr(0, ring, ring + 4096, ring + 8192)).isTrue();
            int kick = EventFd.create();
            assertThat(frontend.setVringKick(0, kick)).isTrue();
            assertThat(frontend.setVringEnable(0, true)).isTrue();
            assertThat(device.calls).containsExactly("features " + Long.toHexString(features), "start 0");
            EventFd.close(kick);
        }
    }
}
