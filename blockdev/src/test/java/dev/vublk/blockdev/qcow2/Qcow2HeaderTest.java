// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOpenException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a header says, that it survives being written, and that no field of it is believed. */
final class Qcow2HeaderTest {
    private static final String IMAGE = "disk.qcow2";

    /** A sound header of a disk of 1 GiB with everything in it. */
    private static Qcow2Header.Builder sound() {
        return Qcow2Header.newImage(1L << 30)
                .l1Table(0x30000, 2)
                .refcountTable(0x10000, 1)
                .snapshots(0x50000, 3)
                .compatible(COMPATIBLE_LAZY_REFCOUNTS)
                .compressionType(COMPRESSION_ZSTD)
                .backing("base.raw", "raw")
                .dataFile("disk.data")
                .extension(new Qcow2Extension(0x12345678, "nobody knows"));
    }

    private static ByteBuffer encoded(Qcow2Header header) {
        return ByteBuffer.allocate(header.clusterBytes()).put(header.encode()).clear();
    }

    private static Qcow2Header decode(Qcow2Header header) throws BlockOpenException {
        return Qcow2Header.decode(encoded(header), IMAGE);
    }

    private static void assertRefused(ByteBuffer head, String reason) {
        assertThatThrownBy(() -> Qcow2Header.decode(head, IMAGE))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageStartingWith(IMAGE + ": qcow2: ")
                .hasMessageContaining(reason)
                .hasMessageNotContaining("\n");
    }

    /** A sound header after somebody's change. */
    private static void assertRefused(Consumer<ByteBuffer> change, String reason) {
        ByteBuffer head = encoded(sound().build());
        change.accept(head);
        assertRefused(head, reason);
    }

    @Test
    void shouldDecodeWhatWasEncoded() throws BlockOpenException {
        Qcow2Header header = sound().build();
        assertThat(decode(header)).isEqualTo(header);
        assertThat(header.backingFormat()).isEqualTo("raw");
        assertThat(header.dataFile()).isEqualTo("disk.data");
        assertThat(header.hasDataFile()).isTrue();
    }

    @Test
    void shouldDecodeVersion2WithWhatItImplies() throws BlockOpenException {
        Qcow2Header header = decode(Qcow2Header.newImage(1 << 20)
                .version(VERSION_2)
                .l1Table(0x30000, 1)
                .refcountTable(0x10000, 1)
                .backing("base", "qcow2")
                .build());
        assertThat(header.refcountOrder()).isEqualTo(REFCOUNT_ORDER_V2);
        assertThat(header.incompatible()).isZero();
        assertThat(header.headerLength()).isEqualTo(V2_HEADER_BYTES);
        assertThat(header.backingFile()).isEqualTo("base");
        assertThat(header.backingFormat()).isEqualTo("qcow2");
    }

    @Test
    void shouldKeepFieldsAndExtensionsThatItDoesNotKnow() throws BlockOpenException {
        ByteBuffer head =
                ByteBuffer.allocate(1 << 16).put(sound().build().encode()).clear();
        head.putInt(HEADER_LENGTH, 120);
        head.position(0).limit(FULL_HEADER_BYTES);
        ByteBuffer longer = ByteBuffer.allocate(1 << 16).put(head).putLong(0x1122334455667788L);
        head.clear().position(FULL_HEADER_BYTES).limit(1 << 12);
        longer.put(head).clear();
        longer.putLong(HEADER_BACKING_FILE_OFFSET, longer.getLong(HEADER_BACKING_FILE_OFFSET) + 8);
        Qcow2Header header = Qcow2Header.decode(longer, IMAGE);
        assertThat(header.unknownFields()).hasSize(8).startsWith((byte) 0x11);
        assertThat(header.extensions()).contains(new Qcow2Extension(0x12345678, "nobody knows"));
        assertThat(decode(header.with().sizeBytes(1 << 20).build())
                        .with()
                        .sizeBytes(1L << 30)
                        .build())
                .isEqualTo(header);
    }

    @Test
    void shouldEncodeHeadersOnlyThatFitIntoACluster() {
        Qcow2Header header = Qcow2Header.newImage(0)
                .clusterBits(9)
                .backing("b".repeat(500), null)
                .build();
        assertThatThrownBy(header::encode).hasMessageContaining("does not fit");
    }

    @Test
    void shouldRefuseOtherMagic() {
        assertRefused(head -> head.putInt(HEADER_MAGIC, MAGIC + 1), "is not a qcow2 image");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 4, -1})
    void shouldRefuseUnknownVersions(int version) {
        assertRefused(head -> head.putInt(HEADER_VERSION, version), "is qcow2 version");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 8, 22, 31, 32, 63, -1, Integer.MIN_VALUE})
    void shouldRefuseClusterSizesOutsideBounds(int bits) {
        assertRefused(head -> head.putInt(HEADER_CLUSTER_BITS, bits), "cluster size");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 4, 8, 71, 72, 100, 103, 111})
    void shouldRefuseFilesThatEndInsideTheirHeader(int bytes) {
        ByteBuffer head = encoded(sound().build()).limit(bytes);
        assertRefused(head, bytes < 4 ? "is not a qcow2 image" : "ends inside its header");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 72, 103, 105, (1 << 16) + 8, -8, Integer.MAX_VALUE})
    void shouldRefuseHeaderLengthsOutsideBounds(int length) {
        assertRefused(head -> head.putInt(HEADER_LENGTH, length), "header length");
    }

    @ParameterizedTest
    @ValueSource(longs = {(1 << 16) + 1, 1L << 32, -1, Long.MIN_VALUE})
    void shouldRefuseBackingNameOutsideFirstCluster(long offset) {
        assertRefused(head -> head.putLong(HEADER_BACKING_FILE_OFFSET, offset), "outside the first cluster");
    }

    @ParameterizedTest
    @ValueSource(ints = {1024, 65536, -1, Integer.MIN_VALUE})
    void shouldRefuseBackingNameThatIsTooLong(int length) {
        assertRefused(head -> head.putInt(HEADER_BACKING_FILE_SIZE, length), "name is too long");
    }

    @Test
    void shouldRefuseBackingNameThatLeavesItsCluster() {
        assertRefused(head -> head.putLong(HEADER_BACKING_FILE_OFFSET, (1 << 16) - 4), "name is too long");
    }

    @Test
    void shouldRefuseBackingNameWithZeroByte() {
        assertRefused(
                head -> head.put((int) head.getLong(HEADER_BACKING_FILE_OFFSET) + 2, (byte) 0), "contains a zero byte");
    }

    @ParameterizedTest
    @ValueSource(ints = {0x10000, Integer.MAX_VALUE, -1})
    void shouldRefuseExtensionsThatLeaveTheirPlace(int length) {
        assertRefused(head -> head.putInt(FULL_HEADER_BYTES + 4, length), "extension 0xe2792aca is too long");
    }

    @Test
    void shouldRefuseFormatNameThatIsTooLong() {
        assertRefused(encoded(sound().backing("base", "f".repeat(16)).build()), "format's name is too long");
    }

    @Test
    void shouldRefuseBitmapsExtensionOfAnotherLength() {
        assertRefused(
                encoded(sound().extension(new Qcow2Extension(EXTENSION_BITMAPS, "short"))
                        .build()),
                "bitmaps extension has 5 bytes");
    }

    @ParameterizedTest
    @CsvSource({
        "0, 64, 0x20000, bitmaps",
        "-1, 64, 0x20000, bitmaps",
        "65536, 64, 0x20000, bitmaps",
        "1, 0, 0x20000, bitmap directory",
        "1, -1, 0x20000, bitmap directory",
        "1, 0x4000001, 0x20000, bitmap directory",
        "1, 64, 0x20001, bitmap directory",
        "1, 64, -65536, bitmap directory",
    })
    void shouldRefuseBitmapsOutsideBounds(int count, long bytes, long offset, String reason) {
        Qcow2Header header = sound().autoclear(AUTOCLEAR_BITMAPS)
                .extension(new Qcow2BitmapsExtension(count, bytes, offset).encode())
                .build();
        assertRefused(encoded(header), reason);
    }

    @Test
    void shouldIgnoreBitmapsThatSomebodyElseMadeInconsistent() throws BlockOpenException {
        Qcow2Header header = decode(
                sound().extension(new Qcow2BitmapsExtension(0, -1, 77).encode()).build());
        assertThat(header.bitmaps()).isNull();
    }

    @Test
    void shouldNameUnknownFeaturesByTheImagesTable() {
        ByteBuffer table = ByteBuffer.allocate(2 * FEATURE_NAME_BYTES);
        table.put((byte) FEATURE_TYPE_COMPATIBLE).put((byte) 40).put("wrong type".getBytes(StandardCharsets.US_ASCII));
        table.position(FEATURE_NAME_BYTES);
        table.put((byte) FEATURE_TYPE_INCOMPATIBLE).put((byte) 40);
        table.put("time\ntravel".getBytes(StandardCharsets.US_ASCII));
        Qcow2Header header = sound().incompatible(1L << 40 | 1L << 63)
                .extension(new Qcow2Extension(EXTENSION_FEATURE_TABLE, table.array()))
                .build();
        assertRefused(encoded(header), "unknown here: time?travel, incompatible bit 63");
    }

    @ParameterizedTest
    @CsvSource({"1, (AES)", "2, (LUKS)", "3, unknown encryption", "-1, unknown encryption"})
    void shouldRefuseEncryptedImages(int method, String reason) {
        assertRefused(head -> head.putInt(HEADER_CRYPT_METHOD, method), reason);
    }

    @ParameterizedTest
    @ValueSource(ints = {7, 31, 64, -1})
    void shouldRefuseRefcountWidthsOutsideBounds(int order) {
        assertRefused(head -> head.putInt(HEADER_REFCOUNT_ORDER, order), "refcount order");
    }

    @Test
    void shouldRefuseSubclustersOfSmallClusters() {
        Qcow2Header header = Qcow2Header.newImage(0)
                .clusterBits(13)
                .incompatible(INCOMPATIBLE_EXTENDED_L2)
                .build();
        assertRefused(encoded(header), "at least 16 KiB");
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 255})
    void shouldRefuseUnknownCompression(int type) {
        assertRefused(head -> head.put(HEADER_COMPRESSION_TYPE, (byte) type), "unknown compression type");
    }

    @Test
    void shouldRefuseCompressionThatContradictsItsFeatureBit() {
        assertRefused(head -> head.put(HEADER_COMPRESSION_TYPE, (byte) 0), "contradict");
    }

    @Test
    void shouldRefuseNegativeSize() {
        assertRefused(head -> head.putLong(HEADER_SIZE, -1), "size is larger than 2^63");
    }

    @ParameterizedTest
    @ValueSource(ints = {(4 << 20) + 1, Integer.MAX_VALUE, -1, Integer.MIN_VALUE})
    void shouldRefuseL1TablesThatAreTooLarge(int entries) {
        assertRefused(head -> head.putInt(HEADER_L1_SIZE, entries), "L1 table is larger than 32 MiB");
    }

    @ParameterizedTest
    @ValueSource(longs = {(1L << 30) + 1, 1L << 62, Long.MAX_VALUE})
    void shouldRefuseL1TablesThatAreTooSmall(long size) {
        assertRefused(head -> head.putLong(HEADER_SIZE, size), "L1 table is too small");
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 0x30200, -0x10000, Long.MIN_VALUE, 1L << 56, Long.MAX_VALUE - 0xffff})
    void shouldRefuseTablesAtImpossibleOffsets(long offset) {
        assertRefused(head -> head.putLong(HEADER_L1_TABLE_OFFSET, offset), "L1 table's offset");
        assertRefused(head -> head.putLong(HEADER_REFCOUNT_TABLE_OFFSET, offset), "refcount table's offset");
        assertRefused(head -> head.putLong(HEADER_SNAPSHOTS_OFFSET, offset), "snapshot table's offset");
    }

    @ParameterizedTest
    @ValueSource(ints = {129, Integer.MAX_VALUE, -1})
    void shouldRefuseRefcountTablesThatAreTooLarge(int clusters) {
        assertRefused(head -> head.putInt(HEADER_REFCOUNT_TABLE_CLUSTERS, clusters), "refcount table is larger");
    }

    @ParameterizedTest
    @ValueSource(ints = {65537, Integer.MAX_VALUE, -1})
    void shouldRefuseTooManySnapshots(int count) {
        assertRefused(head -> head.putInt(HEADER_NB_SNAPSHOTS, count), "snapshots, more than");
    }

    @ParameterizedTest
    @CsvSource({"9, 512", "16, 65536", "21, 2097152", "9, 1", "12, 4096", "16, 20000", "21, 70000"})
    void shouldSeeThroughItsOwnCompressedEntries(int clusterBits, int lengthBytes) {
        for (long offset : new long[] {0, 1, 511, 512, 0x123456789L, (1L << 40) + 511}) {
            if (lengthBytes > 1 << clusterBits) {
                continue;
            }
            long entry = compressedEntry(offset, lengthBytes, clusterBits);
            assertThat(entry & OFLAG_COPIED).isZero();
            assertThat(compressedOffset(entry, clusterBits)).isEqualTo(offset);
            assertThat((long) compressedBytes(entry, clusterBits)).isBetween((long) lengthBytes, lengthBytes + 511L);
            assertThat((offset + compressedBytes(entry, clusterBits)) % 512).isZero();
        }
    }
}
