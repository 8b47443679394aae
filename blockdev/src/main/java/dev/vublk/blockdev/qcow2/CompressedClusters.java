// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.codec.BlockDecoder;
import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.file.IovCursor;
import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.linux.Errno;
import java.util.ArrayList;
import org.jspecify.annotations.Nullable;

/**
 * The clusters that one channel has decompressed lately, so that a guest that reads a compressed image from front to back in
 * small requests has each cluster decompressed once. Runs on its loop; only the decompression itself runs on a worker.
 */
final class CompressedClusters implements AutoCloseable {
    /** Memory for decompressed clusters of a channel, but two clusters at least. Arbitrary. */
    private static final int CACHE_BYTES = 4 << 20;

    private static final int CLUSTERS_MIN = 2;
    private static final int CLUSTERS_MAX = 32;

    private final IoContext context;
    private final MetadataFile file;
    private final BlockCodec codec;
    private final int clusterBits;
    private final int clusterMax;
    private final LoopQueue waiting;
    private final ArrayList<Cluster> clusters = new ArrayList<>();
    private final ArrayList<Decompression> idle = new ArrayList<>();

    /** Of the copy that is under way, during which nobody else runs. */
    private final IovCursor cursor = new IovCursor();

    private long useCount;

    CompressedClusters(IoContext context, MetadataFile file, Qcow2Header header) {
        this.context = context;
        this.file = file;
        this.codec = header.compressionType() == Qcow2Layout.COMPRESSION_ZSTD
                ? BlockCodec.QCOW2_ZSTD
                : BlockCodec.QCOW2_ZLIB;
        this.clusterBits = header.clusterBits();
        this.clusterMax = Math.clamp(CACHE_BYTES >>> clusterBits, CLUSTERS_MIN, CLUSTERS_MAX);
        this.waiting = new LoopQueue(context);
    }

    /** A cluster in memory, or on its way there. */
    private static final class Cluster {
        private final CodecBuffer content;
        private long entry;
        private boolean isLoading;
        private boolean isPresent;
        private long lastUse;

        private Cluster(int clusterBytes) {
            content = new CodecBuffer(clusterBytes);
        }
    }

    /**
     * Reads a part of a compressed cluster.
     *
     * @param entry its L2 entry
     * @return 0, or a negative errno; {@code -EIO} when what is there cannot be decompressed
     */
    int readv(long entry, long inCluster, long iovAddress, long lengthBytes) {
        while (true) {
            Cluster cluster = find(entry);
            if (cluster == null) {
                cluster = room();
                if (cluster != null) {
                    int result = load(cluster, entry);
                    if (result < 0) {
                        return result;
                    }
                }
            }
            if (cluster != null && cluster.isPresent && cluster.entry == entry) {
                cluster.lastUse = ++useCount;
                return copy(cluster, inCluster, iovAddress, lengthBytes);
            }
            waiting.get().await(); // for who is loading it, or for room
        }
    }

    private int copy(Cluster cluster, long inCluster, long iovAddress, long lengthBytes) {
        cursor.reset(iovAddress);
        try {
            cursor.scatter(cluster.content.address() + inCluster, lengthBytes);
            return 0;
        } catch (InternalError pageGone) {
            return -Errno.EFAULT; // what the kernel says when a buffer's file was truncated under its mapping
        }
    }

    private @Nullable Cluster find(long entry) {
        for (int i = 0; i < clusters.size(); i++) {
            Cluster cluster = clusters.get(i);
            if (cluster.entry == entry && (cluster.isPresent || cluster.isLoading)) {
                return cluster;
            }
        }
        return null;
    }

    /** A place for one more cluster: a new one, or that of the cluster that was not used for the longest time. */
    private @Nullable Cluster room() {
        if (clusters.size() < clusterMax) {
            Cluster cluster = new Cluster(1 << clusterBits);
            clusters.add(cluster);
            return cluster;
        }
        Cluster oldest = null;
        for (int i = 0; i < clusters.size(); i++) {
            Cluster cluster = clusters.get(i);
            if (!cluster.isLoading && (oldest == null || cluster.lastUse < oldest.lastUse)) {
                oldest = cluster;
            }
        }
        return oldest;
    }

    private int load(Cluster cluster, long entry) {
        cluster.entry = entry;
        cluster.isPresent = false;
        cluster.isLoading = true;
        Decompression decompression = idle.isEmpty() ? new Decompression() : idle.removeLast();
        int result = decompression.load(entry, cluster.content);
        idle.add(decompression);
        cluster.isLoading = false;
        cluster.isPresent = result == 0;
        waiting.get().wakeAll();
        return result;
    }

    @Override
    public void close() {
        clusters.forEach(cluster -> cluster.content.close());
        clusters.clear();
        idle.forEach(Decompression::close);
        idle.clear();
    }

    /** One decompression as a task, reused for the next one. */
    private final class Decompression implements IoContext.BlockingCall {
        private final BlockDecoder decoder = codec.newDecoder();
        // An entry can name as many sectors as two clusters have, and a compressed cluster needs not begin with one.
        private final CodecBuffer source = new CodecBuffer(2 << clusterBits);
        private @Nullable CodecBuffer target;
        private int lengthBytes;

        private int load(long entry, CodecBuffer into) {
            lengthBytes = Qcow2Layout.compressedBytes(entry, clusterBits);
            int result = file.read(Qcow2Layout.compressedOffset(entry, clusterBits), source.address(), lengthBytes);
            if (result < 0) {
                return result;
            }
            target = into;
            return context.runBlocking(this);
        }

        @Override
        public int run() {
            CodecBuffer into = target;
            int clusterBytes = 1 << clusterBits;
            boolean isWhole =
                    into != null && decoder.decode(source, 0, lengthBytes, into, clusterBytes) == clusterBytes;
            return isWhole ? 0 : -Errno.EIO;
        }

        private void close() {
            decoder.close();
            source.close();
        }
    }
}
