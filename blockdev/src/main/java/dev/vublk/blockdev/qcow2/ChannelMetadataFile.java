// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.ContainerChannel;
import dev.vublk.blockdev.file.LoopQueue;

/** An image's file through a channel: on the channel's loop, or blocking. */
final class ChannelMetadataFile implements MetadataFile {
    private final ContainerChannel channel;
    private final LoopQueue queue;

    ChannelMetadataFile(ContainerChannel channel, IoContext context) {
        this.channel = channel;
        this.queue = new LoopQueue(context);
    }

    @Override
    public int read(long offsetBytes, long address, int lengthBytes) {
        return channel.read(offsetBytes, address, lengthBytes);
    }

    @Override
    public int write(long offsetBytes, long address, int lengthBytes, boolean stable) {
        return channel.write(offsetBytes, address, lengthBytes, stable);
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean stable) {
        return channel.writev(offsetBytes, iovAddress, iovCount, lengthBytes, stable);
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes) {
        return channel.writeZeroes(offsetBytes, lengthBytes, true, false);
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        return channel.discard(offsetBytes, lengthBytes);
    }

    @Override
    public int truncate(long sizeBytes) {
        return channel.truncate(sizeBytes);
    }

    @Override
    public int flush() {
        return channel.flush();
    }

    @Override
    public long sizeBytes() {
        return channel.sizeBytes();
    }

    @Override
    public LoopQueue queue() {
        return queue;
    }
}
