// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import org.jspecify.annotations.Nullable;

/**
 * Carries checked requests out against a disk, in straight-line code that suspends the calling coroutine. Runs on the
 * queue's IOThread.
 */
final class VirtioBlkRequestHandler {
    private static final int EOPNOTSUPP = 95;

    private final BlockChannel channel;
    private final WriteCache writeCache;
    private final byte[] serial;
    private final @Nullable DiskLifetime lifetime;
    private final @Nullable ZoneRequestHandler zones;

    /**
     * @param lifetime what GET_LIFETIME answers; null for what the disk says
     * @param zones who carries out what only zoned disks know; null for an ordinary disk
     */
    VirtioBlkRequestHandler(
            BlockChannel channel,
            WriteCache writeCache,
            byte[] serial,
            @Nullable DiskLifetime lifetime,
            @Nullable ZoneRequestHandler zones) {
        this.channel = channel;
        this.writeCache = writeCache;
        this.serial = serial;
        this.lifetime = lifetime;
        this.zones = zones;
    }

    /** Carries {@code request} out. Returns its status. */
    int handle(VirtioBlkRequest request) {
        return switch (request.type) {
            case VIRTIO_BLK_T_IN ->
                status(channel.readv(
                        request.offsetBytes, request.dataIovAddress(), request.dataCount, request.dataBytes));
            case VIRTIO_BLK_T_OUT -> write(request);
            case VIRTIO_BLK_T_FLUSH -> status(channel.flush());
            case VIRTIO_BLK_T_GET_ID -> getId(request);
            case VIRTIO_BLK_T_DISCARD -> discard(request);
            case VIRTIO_BLK_T_WRITE_ZEROES -> writeZeroes(request);
            case VIRTIO_BLK_T_SECURE_ERASE -> secureErase(request);
            case VIRTIO_BLK_T_GET_LIFETIME -> getLifetime(request);
            default -> zoneRequest(request);
        };
    }

    /** Whether it matters to requests that they are replayed ({@link VirtioBlkRequest#replayed}). */
    boolean mindsReplays() {
        return zones != null;
    }

    /**
     * Whether the request can be given up at any moment and carried out anew later. A write that must be stable cannot: it may have
     * begun a flush that others wait for.
     */
    boolean mayBeLeft(VirtioBlkRequest request) {
        return channel.failsAlone()
                && (request.type == VIRTIO_BLK_T_IN
                        || (request.type == VIRTIO_BLK_T_OUT && !writeCache.isWriteThrough()));
    }

    private int write(VirtioBlkRequest request) {
        if (zones != null && request.replayed) {
            return zones.writeAgain(request);
        }
        return status(channel.writev(
                request.offsetBytes,
                request.dataIovAddress(),
                request.dataCount,
                request.dataBytes,
                writeCache.isWriteThrough()));
    }

    private int zoneRequest(VirtioBlkRequest request) {
        if (zones == null) {
            throw new IllegalStateException("request type " + request.type + " passed the parser");
        }
        return zones.handle(request);
    }

    /** The one place where an errno becomes a status. */
    private int status(int result) {
        if (result == 0) {
            return VIRTIO_BLK_S_OK;
        }
        if (zones != null) {
            return ZoneRequestHandler.status(result);
        }
        return result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
    }

    private int discard(VirtioBlkRequest request) {
        for (int i = 0; i < request.rangeCount; i++) {
            if (request.rangeLengths[i] == 0) {
                continue; // Nothing to do is no error; but fallocate(2) refuses a length of 0.
            }
            int result = channel.discard(request.rangeOffsets[i], request.rangeLengths[i]);
            if (result != 0) {
                return status(result);
            }
        }
        return VIRTIO_BLK_S_OK;
    }

    private int writeZeroes(VirtioBlkRequest request) {
        for (int i = 0; i < request.rangeCount; i++) {
            int result = channel.writeZeroes(
                    request.rangeOffsets[i],
                    request.rangeLengths[i],
                    request.rangeFlags[i] == VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
                    writeCache.isWriteThrough());
            if (result != 0) {
                return status(result);
            }
        }
        return VIRTIO_BLK_S_OK;
    }

    private int secureErase(VirtioBlkRequest request) {
        for (int i = 0; i < request.rangeCount; i++) {
            if (request.rangeLengths[i] == 0) {
                continue;
            }
            int result = channel.secureErase(request.rangeOffsets[i], request.rangeLengths[i]);
            if (result != 0) {
                return status(result);
            }
        }
        return VIRTIO_BLK_S_OK;
    }

    private int getLifetime(VirtioBlkRequest request) {
        long packed = lifetime == null ? channel.lifetime() : lifetime.packed();
        if (packed < 0) {
            return VIRTIO_BLK_S_IOERR;
        }
        GuestBytes answer = new GuestBytes(request.chain.buffers(), request.dataFirst);
        for (int i = 0; i < LIFETIME_BYTES; i++) {
            answer.put((byte) (packed >>> (8 * i)));
        }
        request.answerBytes = LIFETIME_BYTES;
        return VIRTIO_BLK_S_OK;
    }

    private int getId(VirtioBlkRequest request) {
        IoVectors buffers = request.chain.buffers();
        int done = 0;
        for (int i = 0; i < request.dataCount && done < ID_BYTES; i++) {
            int piece = (int) Math.min(buffers.length(request.dataFirst + i), ID_BYTES - done);
            HostMemory.copyIn(serial, done, buffers.base(request.dataFirst + i), piece);
            done += piece;
        }
        request.answerBytes = done;
        return VIRTIO_BLK_S_OK;
    }
}
