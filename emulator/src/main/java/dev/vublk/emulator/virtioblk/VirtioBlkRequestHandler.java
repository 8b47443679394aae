// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.IoVectors;

/**
 * Carries checked requests out against a disk, in straight-line code that suspends the calling coroutine. Runs on the
 * queue's IOThread.
 */
final class VirtioBlkRequestHandler {
    private static final int EOPNOTSUPP = 95;

    private final BlockChannel channel;
    private final WriteCache writeCache;
    private final byte[] serial;

    VirtioBlkRequestHandler(BlockChannel channel, WriteCache writeCache, byte[] serial) {
        this.channel = channel;
        this.writeCache = writeCache;
        this.serial = serial;
    }

    /** Carries {@code request} out. Returns its status. */
    int handle(VirtioBlkRequest request) {
        return switch (request.type) {
            case VIRTIO_BLK_T_IN ->
                status(channel.readv(
                        request.offsetBytes, request.dataIovAddress(), request.dataCount, request.dataBytes));
            case VIRTIO_BLK_T_OUT ->
                status(channel.writev(
                        request.offsetBytes,
                        request.dataIovAddress(),
                        request.dataCount,
                        request.dataBytes,
                        writeCache.isWriteThrough()));
            case VIRTIO_BLK_T_FLUSH -> status(channel.flush());
            case VIRTIO_BLK_T_GET_ID -> getId(request);
            case VIRTIO_BLK_T_DISCARD -> discard(request);
            case VIRTIO_BLK_T_WRITE_ZEROES -> writeZeroes(request);
            default -> throw new IllegalStateException("request type " + request.type + " passed the parser");
        };
    }

    /** The one place where an errno becomes a status. */
    private static int status(int result) {
        if (result == 0) {
            return VIRTIO_BLK_S_OK;
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

    private int getId(VirtioBlkRequest request) {
        IoVectors buffers = request.chain.buffers();
        int done = 0;
        for (int i = 0; i < request.dataCount && done < ID_BYTES; i++) {
            int piece = (int) Math.min(buffers.length(request.dataFirst + i), ID_BYTES - done);
            HostMemory.copyIn(serial, done, buffers.base(request.dataFirst + i), piece);
            done += piece;
        }
        return VIRTIO_BLK_S_OK;
    }
}
