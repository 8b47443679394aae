// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import org.jspecify.annotations.Nullable;

/** Messages that the back end sends on the socket given by SET_BACKEND_REQ_FD. */
public enum BackendRequest {
    IOTLB_MSG(1),
    CONFIG_CHANGE_MSG(2),
    VRING_HOST_NOTIFIER_MSG(3),
    VRING_CALL(4),
    VRING_ERR(5),
    SHARED_OBJECT_ADD(6),
    SHARED_OBJECT_REMOVE(7),
    SHARED_OBJECT_LOOKUP(8),
    SHMEM_MAP(9),
    SHMEM_UNMAP(10);

    private static final BackendRequest[] ALL = values();

    private final int id;

    BackendRequest(int id) {
        this.id = id;
    }

    /** The message with that number, or null when the protocol (as we know it) has none. */
    public static @Nullable BackendRequest byId(int id) {
        return id >= 1 && id <= ALL.length ? ALL[id - 1] : null;
    }

    public int id() {
        return id;
    }

    /** The header of this message when it wants to be acknowledged. */
    public MessageHeader headerNeedingReply(int payloadSizeBytes) {
        return new MessageHeader(id, MessageHeader.VERSION | MessageHeader.FLAG_NEED_REPLY, payloadSizeBytes);
    }

    /** The header of this message when it wants no reply. */
    public MessageHeader header(int payloadSizeBytes) {
        return new MessageHeader(id, MessageHeader.VERSION, payloadSizeBytes);
    }
}
