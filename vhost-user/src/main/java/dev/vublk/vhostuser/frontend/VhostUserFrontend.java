// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.Poll;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringFd;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * The front end's end of a vhost-user socket: one blocking method a message. Owns the socket; descriptors that are passed stay
 * the caller's. One thread at a time.
 *
 * <p>A set message returns whether the back end took it: it asks with NEED_REPLY when that is switched on ({@link
 * #needReply}), and otherwise says true without knowing.
 */
public final class VhostUserFrontend implements AutoCloseable {
    /** No back end may take this long; a test should fail rather than hang. */
    private static final int REPLY_TIMEOUT_MS = 20_000;

    private final int fd;
    private final ReplyWait replyWait;
    private boolean needReply;
    private boolean open = true;

    private VhostUserFrontend(int fd, ReplyWait replyWait) {
        this.fd = fd;
        this.replyWait = replyWait;
    }

    /** How to wait for the back end when there is nothing to do but wait. */
    @FunctionalInterface
    public interface ReplyWait {
        /** Returns when {@code fd} is ready for {@code events} of {@code poll(2)}, or throws. */
        void await(int fd, int events) throws IOException;
    }

    /** Takes a connected socket over, and waits in another way than by blocking: for a back end on this very thread. */
    public static VhostUserFrontend over(int connectedFd, ReplyWait replyWait) {
        return new VhostUserFrontend(connectedFd, replyWait);
    }

    /** Connects to a back end's socket file. */
    public static VhostUserFrontend connect(String path) throws IOException {
        int fd = UnixSocket.create();
        if (fd < 0) {
            throw new IOException("socket: " + Errno.describe(fd));
        }
        int result = UnixSocket.connect(fd, path);
        if (result < 0) {
            FileDescriptor.close(fd);
            throw new IOException(path + ": cannot connect: " + Errno.describe(result));
        }
        return new VhostUserFrontend(fd, VhostUserFrontend::pollFor);
    }

    /** Whether set messages ask for an acknowledgement from now on. */
    public VhostUserFrontend needReply(boolean need) {
        needReply = need;
        return this;
    }

    // ---- one method a message

    public long getFeatures() throws IOException {
        return askU64(FrontendRequest.GET_FEATURES);
    }

    public boolean setFeatures(long features) throws IOException {
        return set(FrontendRequest.SET_FEATURES, Wire.u64(features));
    }

    public boolean setOwner() throws IOException {
        return set(FrontendRequest.SET_OWNER, Wire.empty());
    }

    public boolean resetOwner() throws IOException {
        return set(FrontendRequest.RESET_OWNER, Wire.empty());
    }

    public long getProtocolFeatures() throws IOException {
        return askU64(FrontendRequest.GET_PROTOCOL_FEATURES);
    }

    public boolean setProtocolFeatures(long features) throws IOException {
        return set(FrontendRequest.SET_PROTOCOL_FEATURES, Wire.u64(features));
    }

    public long getQueueNum() throws IOException {
        return askU64(FrontendRequest.GET_QUEUE_NUM);
    }

    public long getMaxMemSlots() throws IOException {
        return askU64(FrontendRequest.GET_MAX_MEM_SLOTS);
    }

    public boolean setMemTable(FrontendMemory... regions) throws IOException {
        List<MemoryRegionDescription> descriptions =
                List.of(regions).stream().map(FrontendMemory::description).toList();
        int[] fds = List.of(regions).stream().mapToInt(FrontendMemory::fd).toArray();
        return set(FrontendRequest.SET_MEM_TABLE, new MemoryTable(descriptions).encode(), fds);
    }

    /**
     * Asks for the descriptor from which to read what the back end misses of memory that comes late (POSTCOPY_ADVISE); the
     * caller's. -1 when the back end has none.
     */
    public int postcopyAdvise() throws IOException {
        send(FrontendRequest.POSTCOPY_ADVISE, 0, Wire.empty());
        List<Integer> fds = new ArrayList<>();
        if (receiveReply(FrontendRequest.POSTCOPY_ADVISE, fds).hasRemaining() || fds.size() > 1) {
            fds.forEach(FileDescriptor::close);
            throw new IOException("POSTCOPY_ADVISE was answered with more than a descriptor");
        }
        return fds.isEmpty() ? -1 : fds.getFirst();
    }

    public boolean postcopyListen() throws IOException {
        return askU64(FrontendRequest.POSTCOPY_LISTEN) == 0;
    }

    public boolean postcopyEnd() throws IOException {
        return askU64(FrontendRequest.POSTCOPY_END) == 0;
    }

    /** SET_MEM_TABLE after POSTCOPY_LISTEN: returns where the regions lie in the back end, which awaits {@link #postcopyAck}. */
    public long[] setMemTablePostcopy(FrontendMemory... regions) throws IOException {
        List<MemoryRegionDescription> descriptions =
                List.of(regions).stream().map(FrontendMemory::description).toList();
        int[] fds = List.of(regions).stream().mapToInt(FrontendMemory::fd).toArray();
        ByteBuffer table = new MemoryTable(descriptions).encode();
        int size = table.remaining();
        send(FrontendRequest.SET_MEM_TABLE, 0, table, fds);
        try {
            MemoryTable answer = MemoryTable.decode(receiveReply(FrontendRequest.SET_MEM_TABLE, size));
            return answer.regions().stream()
                    .mapToLong(MemoryRegionDescription::userAddress)
                    .toArray();
        } catch (VhostUserProtocolException e) {
            throw new IOException(e.reason(), e);
        }
    }

    /** The same for one region more. */
    public long addMemRegPostcopy(FrontendMemory region) throws IOException {
        send(FrontendRequest.ADD_MEM_REG, 0, region.description().encodePadded(), region.fd());
        return MemoryRegionDescription.decodePadded(
                        receiveReply(FrontendRequest.ADD_MEM_REG, MemoryRegionDescription.PADDED_SIZE_BYTES))
                .userAddress();
    }

    /** Tells that faults in the memory given by messages of this kind can be served; not answered. */
    public void postcopyAck(FrontendRequest request) throws IOException {
        send(request, 0, Wire.u64(0));
    }

    public boolean addMemReg(FrontendMemory region) throws IOException {
        return set(FrontendRequest.ADD_MEM_REG, region.description().encodePadded(), region.fd());
    }

    public boolean remMemReg(FrontendMemory region) throws IOException {
        return set(FrontendRequest.REM_MEM_REG, region.description().encodePadded());
    }

    public boolean setVringNum(int index, int size) throws IOException {
        return set(FrontendRequest.SET_VRING_NUM, new VringState(index, size).encode());
    }

    public boolean setVringBase(int index, int base) throws IOException {
        return set(FrontendRequest.SET_VRING_BASE, new VringState(index, base).encode());
    }

    public boolean setVringAddr(int index, long desc, long avail, long used) throws IOException {
        return set(FrontendRequest.SET_VRING_ADDR, new VringAddress(index, 0, desc, used, avail, 0).encode());
    }

    /** As {@link #setVringAddr}, with the used ring logged at a guest address. */
    public boolean setVringAddrLogged(int index, long desc, long avail, long used, long logGuestAddress)
            throws IOException {
        return set(
                FrontendRequest.SET_VRING_ADDR,
                new VringAddress(index, VringAddress.VHOST_VRING_F_LOG, desc, used, avail, logGuestAddress).encode());
    }

    /** Passes a log; the back end writes nothing to the one before it when this returns. Always answered. */
    public boolean setLogBase(LogRegion region, int logFileFd) throws IOException {
        send(FrontendRequest.SET_LOG_BASE, 0, region.encode(), logFileFd);
        return receiveReply(FrontendRequest.SET_LOG_BASE, Long.BYTES).getLong() == 0;
    }

    public boolean setLogFd(int logEventFd) throws IOException {
        return set(FrontendRequest.SET_LOG_FD, Wire.empty(), logEventFd);
    }

    /** Returns the answer as it is. */
    public long setDeviceStateFd(DeviceStateTransfer transfer, int stateFd) throws IOException {
        send(FrontendRequest.SET_DEVICE_STATE_FD, 0, transfer.encode(), stateFd);
        return receiveReply(FrontendRequest.SET_DEVICE_STATE_FD, Long.BYTES).getLong();
    }

    public long checkDeviceState() throws IOException {
        return askU64(FrontendRequest.CHECK_DEVICE_STATE);
    }

    /** Stops the ring: once this returns, the back end has drained it and touches it no more. */
    public int getVringBase(int index) throws IOException {
        send(FrontendRequest.GET_VRING_BASE, 0, new VringState(index, 0).encode());
        VringState state = VringState.decode(receiveReply(FrontendRequest.GET_VRING_BASE, VringState.SIZE_BYTES));
        if (state.index() != index) {
            throw new IOException("GET_VRING_BASE of ring " + index + " was answered for " + state.index());
        }
        return state.num();
    }

    public boolean setVringKick(int index, int kickFd) throws IOException {
        return setVringFd(FrontendRequest.SET_VRING_KICK, index, kickFd);
    }

    public boolean setVringCall(int index, int callFd) throws IOException {
        return setVringFd(FrontendRequest.SET_VRING_CALL, index, callFd);
    }

    public boolean setVringErr(int index, int errFd) throws IOException {
        return setVringFd(FrontendRequest.SET_VRING_ERR, index, errFd);
    }

    /** A negative descriptor is sent as the NOFD bit. */
    private boolean setVringFd(FrontendRequest request, int index, int vringFd) throws IOException {
        boolean hasFd = vringFd >= 0;
        return set(request, new VringFd(index, hasFd).encode(), hasFd ? new int[] {vringFd} : new int[0]);
    }

    public boolean setVringEnable(int index, boolean enable) throws IOException {
        return set(FrontendRequest.SET_VRING_ENABLE, new VringState(index, enable ? 1 : 0).encode());
    }

    /** Passes the socket on which the back end may send its own messages. */
    public boolean setBackendReqFd(int backendReqFd) throws IOException {
        return set(FrontendRequest.SET_BACKEND_REQ_FD, Wire.empty(), backendReqFd);
    }

    /** Bytes of the configuration space; none when the back end refuses. */
    public byte[] getConfig(int offset, int size) throws IOException {
        ConfigSpaceAccess access = new ConfigSpaceAccess(offset, size, 0);
        ByteBuffer payload = Wire.allocate(ConfigSpaceAccess.HEADER_SIZE_BYTES + size);
        access.encode(payload);
        send(FrontendRequest.GET_CONFIG, 0, payload.clear());
        ByteBuffer reply = receiveReply(FrontendRequest.GET_CONFIG);
        if (reply.remaining() == 0) {
            return new byte[0];
        }
        if (!ConfigSpaceAccess.decode(reply).equals(access) || reply.remaining() != size) {
            throw new IOException("GET_CONFIG answered with another access, or " + reply.remaining() + " bytes");
        }
        byte[] bytes = new byte[size];
        reply.get(bytes);
        return bytes;
    }

    /** Tells of the guest's IOMMU; whether the back end took it. Always answered, an invalidation when nothing is in use any more. */
    public boolean tellIotlb(IotlbMessage message) throws IOException {
        send(FrontendRequest.IOTLB_MSG, 0, message.encode());
        return receiveReply(FrontendRequest.IOTLB_MSG, Long.BYTES).getLong() == 0;
    }

    public boolean setConfig(int offset, int flags, byte... data) throws IOException {
        ByteBuffer payload = Wire.allocate(ConfigSpaceAccess.HEADER_SIZE_BYTES + data.length);
        new ConfigSpaceAccess(offset, data.length, flags).encode(payload);
        return set(FrontendRequest.SET_CONFIG, payload.put(data).flip());
    }

    /** Asks for a region in which the back end keeps what is in flight. */
    public FrontendInflight getInflightFd(int queueCount, int queueSize) throws IOException {
        InflightDescription asked = new InflightDescription(0, 0, queueCount, queueSize);
        send(FrontendRequest.GET_INFLIGHT_FD, 0, asked.encode(InflightDescription.PADDED_SIZE_BYTES));
        List<Integer> fds = new ArrayList<>();
        ByteBuffer reply = receiveReply(FrontendRequest.GET_INFLIGHT_FD, fds);
        if (reply.remaining() != InflightDescription.PADDED_SIZE_BYTES || fds.size() != 1) {
            fds.forEach(FileDescriptor::close);
            throw new IOException("GET_INFLIGHT_FD was answered with " + reply.remaining() + " bytes and " + fds.size()
                    + " descriptors");
        }
        return new FrontendInflight(InflightDescription.decode(reply), fds.getFirst());
    }

    public boolean setInflightFd(FrontendInflight region) throws IOException {
        return setInflightFd(region.description(), region.fd());
    }

    /** Passes any region. */
    public boolean setInflightFd(InflightDescription description, int inflightFd) throws IOException {
        return set(
                FrontendRequest.SET_INFLIGHT_FD, description.encode(InflightDescription.PADDED_SIZE_BYTES), inflightFd);
    }

    // ---- the pieces, for anything unusual

    /** A message that is answered only on request: sent, and its acknowledgement awaited where that was switched on. */
    public boolean set(FrontendRequest request, ByteBuffer payload, int... fds) throws IOException {
        send(request, needReply ? MessageHeader.FLAG_NEED_REPLY : 0, payload, fds);
        return !needReply || receiveReply(request, Long.BYTES).getLong() == 0;
    }

    /** A message without payload that is answered with a number. */
    public long askU64(FrontendRequest request) throws IOException {
        send(request, 0, Wire.empty());
        return receiveReply(request, Long.BYTES).getLong();
    }

    /** Sends a message with any payload and descriptors, and waits for nothing. */
    public void send(FrontendRequest request, int extraFlags, ByteBuffer payload, int... fds) throws IOException {
        send(new MessageHeader(request.id(), MessageHeader.VERSION | extraFlags, payload.remaining()), payload, fds);
    }

    /** Sends a message whose header may lie. */
    public void send(MessageHeader header, ByteBuffer payload, int... fds) throws IOException {
        byte[] message = new byte[MessageHeader.SIZE_BYTES + payload.remaining()];
        ByteBuffer buffer = Wire.wrap(message);
        header.encode(buffer);
        buffer.put(payload);
        sendRaw(message, fds);
    }

    /** Sends bytes as they are, the descriptors with the first of them. */
    public void sendRaw(byte[] bytes, int... fds) throws IOException {
        int sent = 0;
        while (sent < bytes.length) {
            int result = UnixSocket.send(fd, bytes, sent, bytes.length - sent, sent == 0 ? fds : new int[0]);
            if (result > 0) {
                sent += result;
            } else if (result == -Errno.EAGAIN) {
                await(Poll.POLLOUT);
            } else {
                throw new IOException("send: " + Errno.describe(result));
            }
        }
    }

    /** The payload of the reply to {@code request}, which must have a certain size. */
    public ByteBuffer receiveReply(FrontendRequest request, int payloadSizeBytes) throws IOException {
        ByteBuffer payload = receiveReply(request);
        if (payload.remaining() != payloadSizeBytes) {
            throw new IOException(
                    request + " was answered with " + payload.remaining() + " bytes instead of " + payloadSizeBytes);
        }
        return payload;
    }

    /** The payload of the reply to {@code request}, whatever its size. */
    public ByteBuffer receiveReply(FrontendRequest request) throws IOException {
        return receiveReply(request, receiveHeader());
    }

    /** The same, with the descriptors that come along, which become the caller's. */
    private ByteBuffer receiveReply(FrontendRequest request, List<Integer> fds) throws IOException {
        return receiveReply(request, decodeHeader(receiveBytes(MessageHeader.SIZE_BYTES, fds::add)));
    }

    private ByteBuffer receiveReply(FrontendRequest request, MessageHeader header) throws IOException {
        if (header.request() != request.id() || header.flags() != (MessageHeader.VERSION | MessageHeader.FLAG_REPLY)) {
            throw new IOException(request + " was answered with " + header);
        }
        return receiveBytes(header.sizeBytes());
    }

    /** The next header from the back end. */
    public MessageHeader receiveHeader() throws IOException {
        return decodeHeader(receiveBytes(MessageHeader.SIZE_BYTES));
    }

    private static MessageHeader decodeHeader(ByteBuffer bytes) throws IOException {
        try {
            return MessageHeader.decode(bytes);
        } catch (VhostUserProtocolException e) {
            throw new IOException(e.reason(), e);
        }
    }

    /** Exactly so many bytes. */
    public ByteBuffer receiveBytes(int count) throws IOException {
        return receiveBytes(count, FileDescriptor::close);
    }

    private ByteBuffer receiveBytes(int count, IntConsumer passedFds) throws IOException {
        byte[] bytes = new byte[count];
        int received = 0;
        while (received < count) {
            int result = receive(bytes, received, passedFds);
            if (result == 0) {
                throw new IOException("the back end has closed the connection");
            }
            received += result;
        }
        return Wire.wrap(bytes);
    }

    /** Whether the back end has closed the connection, or says something unasked, which is as unusual. Does not wait. */
    public boolean hasEnded() {
        return Poll.await(fd, Poll.POLLIN, -1, 0) > 0;
    }

    /** Waits until the back end closes the connection; true when it does so without sending anything more. */
    public boolean awaitEnd() throws IOException {
        return receive(new byte[1], 0, FileDescriptor::close) == 0;
    }

    private int receive(byte[] target, int offset, IntConsumer passedFds) throws IOException {
        while (true) {
            int result = UnixSocket.receive(fd, target, offset, target.length - offset, passedFds);
            if (result >= 0) {
                return result;
            }
            if (result == -Errno.ECONNRESET) {
                return 0;
            }
            if (result != -Errno.EAGAIN) {
                throw new IOException("receive: " + Errno.describe(result));
            }
            await(Poll.POLLIN);
        }
    }

    private void await(int events) throws IOException {
        replyWait.await(fd, events);
    }

    private static void pollFor(int fd, int events) throws IOException {
        int result = Poll.await(fd, events, -1, REPLY_TIMEOUT_MS);
        if (result == 0) {
            throw new IOException("the back end has said nothing for " + REPLY_TIMEOUT_MS + " ms");
        }
        if (result < 0 && result != -Errno.EINTR) {
            throw new IOException("poll: " + Errno.describe(result));
        }
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            FileDescriptor.close(fd);
        }
    }
}
