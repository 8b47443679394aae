// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.qcow2.Qcow2Extension;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.tools.cli.SizeConverter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;

/** From options of qcow2 to the header of an image that has no content yet. Any thread. */
final class Qcow2Options {
    static final Set<String> KEYS = Set.of(
            "cluster_size",
            "compat",
            "compression_type",
            "refcount_bits",
            "extended_l2",
            "lazy_refcounts",
            "backing_file",
            "backing_fmt");

    private static final int CLUSTER_BITS = 16;

    private Qcow2Options() {}

    /** Throws {@link IllegalArgumentException} with a line for the user. */
    static Qcow2Header header(FormatOptions options) {
        return header(options, Set.of());
    }

    /** The same, for somebody who knows more keys than these. */
    static Qcow2Header header(FormatOptions options, Set<String> moreKeys) {
        Set<String> keys = new HashSet<>(KEYS);
        keys.addAll(moreKeys);
        options.checkKeys("qcow2", keys);
        boolean extended = options.isOn("extended_l2");
        int version = version(options.value("compat", "1.1"));
        int clusterBits = clusterBits(options, extended);
        int compression = compression(options.value("compression_type", "zlib"));
        int order = refcountOrder(options.value("refcount_bits", "16"));
        boolean lazy = options.isOn("lazy_refcounts");
        if (version == VERSION_2 && (extended || lazy || compression != COMPRESSION_ZLIB || order != 4)) {
            throw new IllegalArgumentException(
                    "compat=0.10 has neither extended_l2, lazy_refcounts, compression_type=zstd"
                            + " nor refcount_bits other than 16");
        }
        Qcow2Header.Builder header = Qcow2Header.newImage(0)
                .version(version)
                .clusterBits(clusterBits)
                .refcountOrder(order)
                .incompatible(extended ? INCOMPATIBLE_EXTENDED_L2 : 0)
                .compatible(lazy ? COMPATIBLE_LAZY_REFCOUNTS : 0)
                .compressionType(compression)
                .backing(options.value("backing_file"), options.value("backing_fmt"));
        if (version != VERSION_2) {
            header.extension(new Qcow2Extension(EXTENSION_FEATURE_TABLE, featureNames()));
        }
        return header.build();
    }

    private static int version(String compat) {
        return switch (compat) {
            case "0.10", "v2" -> VERSION_2;
            case "1.1", "v3" -> VERSION_3;
            default -> throw new IllegalArgumentException("compat: '" + compat + "' is neither 0.10 nor 1.1");
        };
    }

    private static int clusterBits(FormatOptions options, boolean extended) {
        String text = options.value("cluster_size");
        if (text == null) {
            return CLUSTER_BITS;
        }
        long bytes = new SizeConverter().convert(text);
        int bits = Long.numberOfTrailingZeros(bytes);
        int least = extended ? EXTENDED_L2_CLUSTER_BITS_MIN : CLUSTER_BITS_MIN;
        if (Long.bitCount(bytes) != 1 || bits < least || bits > CLUSTER_BITS_MAX) {
            throw new IllegalArgumentException("cluster_size: '" + text + "' is no power of two between " + (1 << least)
                    + " and " + (1 << CLUSTER_BITS_MAX));
        }
        return bits;
    }

    private static int compression(String type) {
        return switch (type) {
            case "zlib" -> COMPRESSION_ZLIB;
            case "zstd" -> COMPRESSION_ZSTD;
            default -> throw new IllegalArgumentException("compression_type: '" + type + "' is neither zlib nor zstd");
        };
    }

    private static int refcountOrder(String text) {
        for (int order = 0; order <= REFCOUNT_ORDER_MAX; order++) {
            if (text.equals(String.valueOf(1 << order))) {
                return order;
            }
        }
        throw new IllegalArgumentException("refcount_bits: '" + text + "' is no power of two between 1 and 64");
    }

    /** So that a program which does not know a feature can name it. */
    private static byte[] featureNames() {
        Object[][] features = {
            {FEATURE_TYPE_INCOMPATIBLE, 0, "dirty bit"},
            {FEATURE_TYPE_INCOMPATIBLE, 1, "corrupt bit"},
            {FEATURE_TYPE_INCOMPATIBLE, 2, "external data file"},
            {FEATURE_TYPE_INCOMPATIBLE, 3, "compression type"},
            {FEATURE_TYPE_INCOMPATIBLE, 4, "extended L2 entries"},
            {FEATURE_TYPE_COMPATIBLE, 0, "lazy refcounts"},
            {FEATURE_TYPE_AUTOCLEAR, 0, "bitmaps"},
            {FEATURE_TYPE_AUTOCLEAR, 1, "raw external data"}
        };
        ByteBuffer table = ByteBuffer.allocate(features.length * FEATURE_NAME_BYTES);
        for (int i = 0; i < features.length; i++) {
            table.position(i * FEATURE_NAME_BYTES);
            table.put(((Integer) features[i][0]).byteValue()).put(((Integer) features[i][1]).byteValue());
            table.put(features[i][2].toString().getBytes(StandardCharsets.US_ASCII));
        }
        return table.array();
    }
}
