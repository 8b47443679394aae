// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a {@link CodecEngine} has done so far.
 *
 * @param blocks results given out
 * @param zeroBlocks of them, all zeroes
 * @param compressedBlocks of them, smaller than before
 * @param incompressibleBlocks of them, no smaller in the codec's form
 * @param busyBlocks of them, uncompressed because no worker was free
 * @param decodedBlocks of them, decompressed
 * @param corruptBlocks of them, impossible to decompress
 * @param submitterBlocks of them, worked on by the submitter because no worker was free
 * @param inputBytes submitted
 * @param outputBytes of results
 * @param packedInputBytes of compressed blocks, before
 * @param packedOutputBytes of compressed blocks, after
 * @param elapsedNs since the engine began
 * @param threadCpuNs CPU time of each worker
 */
public record CodecStats(
        long blocks,
        long zeroBlocks,
        long compressedBlocks,
        long incompressibleBlocks,
        long busyBlocks,
        long decodedBlocks,
        long corruptBlocks,
        long submitterBlocks,
        long inputBytes,
        long outputBytes,
        long packedInputBytes,
        long packedOutputBytes,
        long elapsedNs,
        List<Long> threadCpuNs) {

    public CodecStats {
        threadCpuNs = List.copyOf(threadCpuNs);
    }

    /** Blocks that are not all zeroes. */
    public long normalBlocks() {
        return blocks - zeroBlocks;
    }

    /** The share of blocks for which no worker was free, 0 to 1. */
    public double busyRate() {
        return ratio(busyBlocks, blocks);
    }

    /** What compression has saved, zeroes not counted. */
    public long reducedBytes() {
        return packedInputBytes - packedOutputBytes;
    }

    /** Size before to size after, of compressed blocks; 0 when there is none. */
    public double compressionRate() {
        return ratio(packedInputBytes, packedOutputBytes);
    }

    public double inputBytesPerSecond() {
        return ratio(inputBytes, elapsedNs) * 1e9;
    }

    private static double ratio(long part, long whole) {
        return whole == 0 ? 0 : (double) part / whole;
    }

    /** Names and numbers, in a fixed order, for JSON. */
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("blocks", blocks);
        fields.put("normal-blocks", normalBlocks());
        fields.put("zero-blocks", zeroBlocks);
        fields.put("compressed-blocks", compressedBlocks);
        fields.put("incompressible-blocks", incompressibleBlocks);
        fields.put("busy-blocks", busyBlocks);
        fields.put("busy-rate", busyRate());
        fields.put("decoded-blocks", decodedBlocks);
        fields.put("corrupt-blocks", corruptBlocks);
        fields.put("submitter-blocks", submitterBlocks);
        fields.put("input-bytes", inputBytes);
        fields.put("output-bytes", outputBytes);
        fields.put("reduced-bytes", reducedBytes());
        fields.put("compression-rate", compressionRate());
        fields.put("elapsed-ns", elapsedNs);
        fields.put("input-bytes-per-second", inputBytesPerSecond());
        fields.put("thread-cpu-ns", threadCpuNs);
        return fields;
    }

    /** Some lines for a terminal. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "blocks: %d (%d normal, %d zero)%n"
                        + "compressed: %d, incompressible %d, busy %d (busy rate %.3f), by the submitter %d%n",
                blocks,
                normalBlocks(),
                zeroBlocks,
                compressedBlocks,
                incompressibleBlocks,
                busyBlocks,
                busyRate(),
                submitterBlocks));
        if (decodedBlocks + corruptBlocks != 0) {
            text.append(String.format(Locale.ROOT, "decompressed: %d, corrupt %d%n", decodedBlocks, corruptBlocks));
        }
        text.append(String.format(
                Locale.ROOT,
                "bytes: %d in, %d out, reduced by %d, compression rate %.2f%n"
                        + "throughput: %.1f MB/s over %.2f s%n"
                        + "CPU of the threads, s:",
                inputBytes,
                outputBytes,
                reducedBytes(),
                compressionRate(),
                inputBytesPerSecond() / 1e6,
                elapsedNs / 1e9));
        for (long cpuNs : threadCpuNs) {
            text.append(String.format(Locale.ROOT, " %.2f", cpuNs / 1e9));
        }
        return text.toString();
    }
}
