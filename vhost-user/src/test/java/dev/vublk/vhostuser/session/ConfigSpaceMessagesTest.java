// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** GET_CONFIG, SET_CONFIG and CONFIG_CHANGE_MSG. */
final class ConfigSpaceMessagesTest {
    @TempDir
    private Path directory;

    /** QEMU asks for 36, 48, 57 or 96 bytes, Cloud Hypervisor and Firecracker for 60, Linux UML for 8 to 60. */
    @ParameterizedTest
    @ValueSource(ints = {1, 8, 33, 36, 48, 57, 60, 61, 96, 255, 256})
    void shouldAnswerWithAsManyBytesAsAskedFor(int size) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            byte[] expected = Arrays.copyOf(session.device.config, size);
            assertThat(session.frontend.getConfig(0, size)).isEqualTo(expected);
        }
    }

    @Test
    void shouldAnswerFromAnOffset() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.getConfig(20, 4)).containsExactly(21, 22, 23, 24);
            assertThat(session.frontend.getConfig(58, 4)).containsExactly(59, 60, 0, 0);
            assertThat(session.frontend.getConfig(255, 1)).containsExactly(0);
        }
    }

    /** rust-vmm's constant; Cloud Hypervisor sent it until 2026. The reply repeats it. */
    @ParameterizedTest
    @ValueSource(ints = {1, 60, 256})
    void shouldServeOffset0x100FromTheBeginning(int size) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.getConfig(0x100, size)).isEqualTo(Arrays.copyOf(session.device.config, size));
        }
    }

    @ParameterizedTest
    @CsvSource({"0,0", "0,257", "1,256", "255,2", "256,257", "257,1", "-1,4", "4,-1", "2147483647,8", "8,2147483647"})
    void shouldAnswerWithoutPayloadWhenTheRangeIsImpossible(int offset, int size) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            ByteBuffer payload =
                    Wire.allocate(12).putInt(offset).putInt(size).putInt(0).flip();
            session.frontend.send(FrontendRequest.GET_CONFIG, 0, payload);
            assertThat(session.frontend.receiveReply(FrontendRequest.GET_CONFIG).remaining())
                    .isZero();
            session.assertAlive();
        }
    }

    @Test
    void shouldAnswerWithoutPayloadWhenTheMessageIsTooShort() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            session.frontend.send(FrontendRequest.GET_CONFIG, MessageHeader.FLAG_NEED_REPLY, Wire.allocate(11));
            assertThat(session.frontend.receiveReply(FrontendRequest.GET_CONFIG).remaining())
                    .isZero();
            session.assertAlive();
        }
    }

    @Test
    void shouldAnswerWithoutPayloadBeforeConfigWasNegotiated() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            assertThat(session.frontend.getConfig(0, 57)).isEmpty();
            session.frontend.setProtocolFeatures(ProtocolFeature.CONFIG.mask());
            assertThat(session.frontend.getConfig(0, 57)).hasSize(57);
        }
    }

    @Test
    void shouldAnswerEachTimeWithTheConfigurationAsItIsThen() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            session.device.config[0] = 99;
            assertThat(session.frontend.getConfig(0, 1)).containsExactly(99);
        }
    }

    /** 0 and 1 of the specification; 1 and 2 of rust-vmm, where 1 is the guest's ordinary write. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shouldTakeAWriteOfTheWriteCacheByteWhateverTheFlags(int flags) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.setConfig(RecordingDevice.WCE_OFFSET, flags, (byte) 0))
                    .isTrue();
            assertThat(session.frontend.setConfig(RecordingDevice.WCE_OFFSET, flags, (byte) 1))
                    .isTrue();
            assertThat(session.device.calls).contains("config 32=0", "config 32=1");
        }
    }

    @Test
    void shouldRefuseAWriteThatTheDeviceRefuses() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.setConfig(0, 0, (byte) 1)).isFalse();
            assertThat(session.frontend.setConfig(RecordingDevice.WCE_OFFSET, 3, (byte) 1))
                    .isFalse();
            assertThat(session.frontend.setConfig(RecordingDevice.WCE_OFFSET, 0))
                    .isFalse();
            session.assertAlive();
        }
    }

    @Test
    void shouldRefuseAWriteOfMoreBytesThanCame() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            for (int size : new int[] {2, 256, Integer.MAX_VALUE, -1}) {
                ByteBuffer payload = Wire.allocate(13)
                        .putInt(32)
                        .putInt(size)
                        .putInt(0)
                        .put((byte) 1)
                        .flip();
                assertThat(session.frontend.set(FrontendRequest.SET_CONFIG, payload))
                        .isFalse();
            }
            session.assertAlive();
        }
    }

    @Test
    void shouldNotifyTheFrontEndOfAChange() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.backend.server().notifyConfigChanged()).isFalse();
            // Any descriptor that is written and read will do; Linux UML passes half of a socket pair, some pass pipes.
            try (Pipe pipe = new Pipe()) {
                assertThat(session.frontend.setBackendReqFd(pipe.writeFd())).isTrue();
                assertThat(session.backend.server().notifyConfigChanged()).isTrue();
                MessageHeader header = MessageHeader.decode(Wire.wrap(pipe.read(MessageHeader.SIZE_BYTES)));
                assertThat(header).isEqualTo(new MessageHeader(2, MessageHeader.VERSION, 0));
            }
            assertThat(session.backend.server().notifyConfigChanged()).isFalse();
        }
    }

    @Test
    void shouldNotBlockWhenTheFrontEndDoesNotReadItsNotifications() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate();
                Pipe pipe = new Pipe()) {
            assertThat(session.frontend.setBackendReqFd(pipe.writeFd())).isTrue();
            int sent = 0;
            while (session.backend.server().notifyConfigChanged()) {
                assertThat(++sent).isLessThan(100_000);
            }
            session.assertAlive();
        }
    }
}
