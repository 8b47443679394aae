// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SET_DEVICE_STATE_FD and CHECK_DEVICE_STATE (vhost-user, "Migrating back-end state"): the state is empty. */
final class DeviceStateTest {
    private static final DeviceStateTransfer SAVE =
            new DeviceStateTransfer(DeviceStateTransfer.SAVE, DeviceStateTransfer.STOPPED);
    private static final DeviceStateTransfer LOAD =
            new DeviceStateTransfer(DeviceStateTransfer.LOAD, DeviceStateTransfer.STOPPED);

    /** Bit 8: no descriptor is sent back. Bits 0 to 7: the error. */
    private static final long ACCEPTED = 0x100;

    private static final long REFUSED = 0x101;

    @TempDir
    private Path directory;

    private SessionUnderTest session;

    @BeforeEach
    void connect() throws Exception {
        session = new SessionUnderTest(directory).negotiateWithMemory();
    }

    @AfterEach
    void hangUp() {
        session.close();
    }

    @Test
    void shouldSaveNothing() throws Exception {
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(SAVE, pipe.writeFd())).isEqualTo(ACCEPTED);
            pipe.closeWriteEnd();
            assertThat(FileDescriptor.read(pipe.readFd(), new byte[1])).isZero();
        }
        assertThat(session.frontend.checkDeviceState()).isZero();
    }

    @Test
    void shouldLoadNothing() throws Exception {
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(LOAD, pipe.readFd())).isEqualTo(ACCEPTED);
            pipe.closeWriteEnd();
            assertThat(session.frontend.checkDeviceState()).isZero();
        }
    }

    @Test
    void shouldRefuseToLoadSomething() throws Exception {
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(LOAD, pipe.readFd())).isEqualTo(ACCEPTED);
            FileDescriptor.write(pipe.writeFd(), new byte[] {1});
            pipe.closeWriteEnd();
            assertThat(session.frontend.checkDeviceState()).isNotZero();
            assertThat(session.frontend.checkDeviceState()).isZero();
        }
    }

    @Test
    void shouldNotWaitForALoadThatHasNotEnded() throws Exception {
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(LOAD, pipe.readFd())).isEqualTo(ACCEPTED);
            assertThat(session.frontend.checkDeviceState()).isNotZero();
        }
    }

    @Test
    void shouldRefuseWhileARingRuns() throws Exception {
        session.runRing(0);
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(SAVE, pipe.writeFd())).isEqualTo(REFUSED);
        }
        assertThat(session.frontend.checkDeviceState()).isNotZero();
    }

    @Test
    void shouldRefuseUnknownDirectionAndPhase() throws Exception {
        try (Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setDeviceStateFd(new DeviceStateTransfer(2, 0), pipe.writeFd()))
                    .isEqualTo(REFUSED);
            assertThat(session.frontend.setDeviceStateFd(new DeviceStateTransfer(0, 1), pipe.writeFd()))
                    .isEqualTo(REFUSED);
        }
        session.assertAlive();
    }
}
