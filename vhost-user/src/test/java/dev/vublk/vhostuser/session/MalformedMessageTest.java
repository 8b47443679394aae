// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.ReplyRule;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Messages of a wrong shape, unknown ones, ones not negotiated, and streams that cannot be followed. */
final class MalformedMessageTest {
    private static final Set<ProtocolFeature> ALWAYS_OFFERED = EnumSet.of(
            ProtocolFeature.MQ,
            ProtocolFeature.REPLY_ACK,
            ProtocolFeature.BACKEND_REQ,
            ProtocolFeature.CONFIG,
            ProtocolFeature.INFLIGHT_SHMFD,
            ProtocolFeature.RESET_DEVICE,
            ProtocolFeature.CONFIGURE_MEM_SLOTS,
            ProtocolFeature.STATUS,
            ProtocolFeature.LOG_SHMFD,
            ProtocolFeature.DEVICE_STATE);

    /** Known to the protocol and gated by nothing, but not served. */
    private static final Set<FrontendRequest> UNGATED_UNSERVED =
            EnumSet.of(FrontendRequest.IOTLB_MSG, FrontendRequest.GPU_SET_SOCKET);

    @TempDir
    private Path directory;

    private static boolean isServed(FrontendRequest request) {
        ProtocolFeature feature = request.feature();
        return feature == null
                ? !UNGATED_UNSERVED.contains(request)
                : (ALWAYS_OFFERED.contains(feature)
                        || (feature == ProtocolFeature.PAGEFAULT && UserFault.isAvailable()));
    }

    static Stream<FrontendRequest> served() {
        return Arrays.stream(FrontendRequest.values()).filter(MalformedMessageTest::isServed);
    }

    static Stream<FrontendRequest> unserved() {
        return Arrays.stream(FrontendRequest.values()).filter(request -> !isServed(request));
    }

    @ParameterizedTest
    @MethodSource("served")
    void shouldRefuseAPayloadThatIsOneByteTooShort(FrontendRequest request) throws Exception {
        if (request.payloadSizeBytesMin() > 0) {
            expectRefusal(request, request.payloadSizeBytesMin() - 1, request.fdCountMin());
        } else {
            // No payload cannot be shorter: one byte too long instead.
            expectRefusal(request, 1, request.fdCountMin());
        }
    }

    @ParameterizedTest
    @MethodSource("served")
    void shouldRefuseAPayloadThatIsTooLong(FrontendRequest request) throws Exception {
        if (request == FrontendRequest.SET_MEM_TABLE) {
            // Its largest payload is the largest that is read at all; see the oversized ones below.
            expectRefusal(request, request.payloadSizeBytesMax(), 1);
        } else {
            expectRefusal(request, request.payloadSizeBytesMax() + 1, request.fdCountMin());
            expectRefusal(request, FrontendRequest.PAYLOAD_SIZE_BYTES_MAX, request.fdCountMin());
        }
    }

    @ParameterizedTest
    @MethodSource("served")
    void shouldRefuseTooManyDescriptors(FrontendRequest request) throws Exception {
        int tooMany = request == FrontendRequest.SET_MEM_TABLE ? 253 : request.fdCountMax() + 1;
        expectRefusal(request, request.payloadSizeBytesMin(), tooMany);
    }

    @ParameterizedTest
    @EnumSource(names = {"ADD_MEM_REG", "SET_BACKEND_REQ_FD", "SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"})
    void shouldRefuseAMessageWithoutItsDescriptor(FrontendRequest request) throws Exception {
        expectRefusal(request, request.payloadSizeBytesMin(), 0);
    }

    /** Refused with an answer where one is due, the session going on; otherwise the session ends. No descriptor stays. */
    private void expectRefusal(FrontendRequest request, int payloadSize, int fdCount) throws Exception {
        ProcessResources before;
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            before = ProcessResources.now();
            int[] fds = IntStream.generate(session.memory::fd).limit(fdCount).toArray();
            session.frontend.send(request, MessageHeader.FLAG_NEED_REPLY, Wire.allocate(payloadSize), fds);
            if (request.replyRule() == ReplyRule.ACK) {
                assertThat(session.frontend.receiveReply(request, Long.BYTES).getLong())
                        .as("acknowledgement of %s", request)
                        .isNotZero();
                session.assertAlive();
                assertThat(ProcessResources.now()).isEqualTo(before);
                session.frontend.send(request, 0, Wire.allocate(payloadSize), fds);
                session.assertEndedAndServing();
            } else if (request.replyRule() == ReplyRule.CONFIG) {
                assertThat(session.frontend.receiveReply(request).remaining()).isZero();
                session.assertAlive();
                assertThat(ProcessResources.now()).isEqualTo(before);
            } else {
                session.assertEndedAndServing();
            }
        }
    }

    @ParameterizedTest
    @MethodSource("unserved")
    void shouldAnswerWhatItDoesNotServeWithAnErrorAndGoOn(FrontendRequest request) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            ProcessResources before = ProcessResources.now();
            int[] fds = IntStream.generate(session.memory::fd)
                    .limit(request.fdCountMin())
                    .toArray();
            ByteBuffer payload = Wire.allocate(request.payloadSizeBytesMin());
            session.frontend.send(request, MessageHeader.FLAG_NEED_REPLY, payload.duplicate(), fds);
            assertThat(session.frontend.receiveReply(request, Long.BYTES).getLong())
                    .isEqualTo(1);

            session.frontend.send(request, 0, payload.duplicate(), fds);
            if (request.replyRule() != ReplyRule.ACK) {
                assertThat(session.frontend.receiveReply(request, Long.BYTES).getLong())
                        .isEqualTo(1);
            }
            session.assertAlive();
            assertThat(ProcessResources.now()).isEqualTo(before);
        }
    }

    @ParameterizedTest
    @EnumSource(
            names = {
                "GET_QUEUE_NUM",
                "SET_BACKEND_REQ_FD",
                "SET_CONFIG",
                "GET_MAX_MEM_SLOTS",
                "ADD_MEM_REG",
                "REM_MEM_REG"
            })
    void shouldAnswerWhatWasNotNegotiatedWithAnErrorAndGoOn(FrontendRequest request) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            ProcessResources before = ProcessResources.now();
            int[] fds = IntStream.generate(session.memory::fd)
                    .limit(request.fdCountMin())
                    .toArray();
            session.frontend.send(
                    request, MessageHeader.FLAG_NEED_REPLY, Wire.allocate(request.payloadSizeBytesMin()), fds);
            assertThat(session.frontend.receiveReply(request, Long.BYTES).getLong())
                    .isEqualTo(1);
            session.assertAlive();
            assertThat(ProcessResources.now()).isEqualTo(before);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 45, 1000, -1, Integer.MIN_VALUE})
    void shouldGoOnAfterAMessageThatTheProtocolDoesNotHave(int request) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            ProcessResources before = ProcessResources.now();
            ByteBuffer payload = Wire.allocate(100);
            session.frontend.send(
                    new MessageHeader(request, MessageHeader.VERSION, 100), payload.duplicate(), session.memory.fd());
            session.assertAlive();
            session.frontend.send(
                    new MessageHeader(request, MessageHeader.VERSION | MessageHeader.FLAG_NEED_REPLY, 100),
                    payload.duplicate(),
                    session.memory.fd());
            MessageHeader reply = session.frontend.receiveHeader();
            assertThat(reply).isEqualTo(new MessageHeader(request, 5, Long.BYTES));
            assertThat(session.frontend.receiveBytes(Long.BYTES).getLong()).isEqualTo(1);
            session.assertAlive();
            assertThat(ProcessResources.now()).isEqualTo(before);
        }
    }

    // ---- streams that cannot be followed

    @ParameterizedTest
    @ValueSource(ints = {0, 2, 3})
    void shouldEndTheSessionOnAnotherProtocolVersion(int version) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.send(
                    new MessageHeader(1, version | MessageHeader.FLAG_NEED_REPLY, 0),
                    Wire.empty(),
                    session.memory.fd());
            session.assertEndedAndServing();
        }
    }

    @Test
    void shouldEndTheSessionOnAReply() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.send(FrontendRequest.GET_FEATURES, MessageHeader.FLAG_REPLY, Wire.empty());
            session.assertEndedAndServing();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {4097, 0x10000, Integer.MAX_VALUE, -1, Integer.MIN_VALUE})
    void shouldEndTheSessionOnAnOversizedMessageWithoutReadingIt(int size) throws Exception {
        for (int request : new int[] {FrontendRequest.SET_FEATURES.id(), 1000}) {
            try (SessionUnderTest session = new SessionUnderTest(directory)) {
                session.frontend.send(new MessageHeader(request, MessageHeader.VERSION, size), Wire.empty());
                session.assertEndedAndServing();
            }
        }
    }

    @Test
    void shouldEndTheSessionOnAnOversizedMemoryTable() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            int size = FrontendRequest.SET_MEM_TABLE.payloadSizeBytesMax() + 1;
            session.frontend.send(
                    new MessageHeader(FrontendRequest.SET_MEM_TABLE.id(), MessageHeader.VERSION, size), Wire.empty());
            session.assertEndedAndServing();
        }
    }

    @Test
    void shouldIgnoreFlagsThatItDoesNotKnow() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.send(new MessageHeader(1, 0xfffffff1, 0), Wire.empty());
            session.frontend.receiveReply(FrontendRequest.GET_FEATURES, Long.BYTES);
        }
    }

    /** A stream may deliver a message in any pieces, and several at once. */
    @Test
    void shouldPutMessagesTogetherFromSingleBytes() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            MessageHeader header = new MessageHeader(FrontendRequest.SET_VRING_CALL.id(), MessageHeader.VERSION | 8, 8);
            byte[] message = new byte[20];
            ByteBuffer buffer = Wire.wrap(message);
            header.encode(buffer);
            buffer.putLong(1);
            int call = session.eventFd();
            for (int i = 0; i < message.length; i++) {
                // The descriptor may come with any part of the message; here with its last byte.
                int[] fds = i == message.length - 1 ? new int[] {call} : new int[0];
                session.frontend.sendRaw(new byte[] {message[i]}, fds);
            }
            assertThat(session.frontend
                            .receiveReply(FrontendRequest.SET_VRING_CALL, Long.BYTES)
                            .getLong())
                    .isZero();
        }
    }

    @Test
    void shouldTakeSeveralMessagesApartThatComeAtOnce() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            byte[] three = new byte[3 * MessageHeader.SIZE_BYTES];
            ByteBuffer buffer = Wire.wrap(three);
            new MessageHeader(FrontendRequest.GET_FEATURES.id(), MessageHeader.VERSION, 0).encode(buffer);
            new MessageHeader(FrontendRequest.SET_OWNER.id(), MessageHeader.VERSION, 0).encode(buffer);
            new MessageHeader(FrontendRequest.GET_PROTOCOL_FEATURES.id(), MessageHeader.VERSION, 0).encode(buffer);
            session.frontend.sendRaw(three);
            session.frontend.receiveReply(FrontendRequest.GET_FEATURES, Long.BYTES);
            session.frontend.receiveReply(FrontendRequest.GET_PROTOCOL_FEATURES, Long.BYTES);
        }
    }

    /** The front end sends without ever reading: replies pile up until the socket is full, and then it leaves. */
    @Test
    void shouldSurviveAFrontEndThatNeverReads() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            byte[] many = new byte[1000 * MessageHeader.SIZE_BYTES];
            ByteBuffer buffer = Wire.wrap(many);
            while (buffer.hasRemaining()) {
                new MessageHeader(FrontendRequest.GET_FEATURES.id(), MessageHeader.VERSION, 0).encode(buffer);
            }
            session.frontend.sendRaw(many);
            session.reconnect();
            session.assertAlive();
        }
    }
}
