// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import static dev.vublk.vhostuser.protocol.IotlbMessage.RO;
import static dev.vublk.vhostuser.protocol.IotlbMessage.RW;
import static dev.vublk.vhostuser.protocol.IotlbMessage.WO;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What is known of an IOMMU, and the table that a session keeps of it. */
final class IovaMapTest {
    private static final long PAGE = 4096;
    private static final long MEMORY = 0x4000_0000L;

    private static IovaMap one(long firstPage, long pages, int permission) {
        return with(IovaMap.EMPTY, firstPage, pages, firstPage, permission);
    }

    /** Pages one behind the other, from host page {@code hostPage} on; user addresses are the host's. */
    private static IovaMap with(IovaMap map, long firstPage, long pages, long hostPage, int permission) {
        return map.with(firstPage * PAGE, (firstPage + pages) * PAGE - 1, hostPage * PAGE, hostPage * PAGE, permission);
    }

    @Test
    void shouldFindWhatLiesInAMapping() {
        IovaMap map = with(IovaMap.EMPTY, 10, 2, 100, RW);
        int found = map.find(10 * PAGE + 5, RO);
        assertThat(map.hostAddress(found, 10 * PAGE + 5)).isEqualTo(100 * PAGE + 5);
        assertThat(map.bytesFrom(found, 10 * PAGE + 5)).isEqualTo(2 * PAGE - 5);
        assertThat(map.find(12 * PAGE - 1, WO)).isEqualTo(found);
        assertThat(map.find(12 * PAGE, RO)).isEqualTo(IovaMap.UNMAPPED);
        assertThat(map.find(10 * PAGE - 1, RO)).isEqualTo(IovaMap.UNMAPPED);
    }

    @Test
    void shouldFindOnlyWhatIsPermitted() {
        assertThat(one(1, 1, RO).find(PAGE, WO)).isEqualTo(IovaMap.UNMAPPED);
        assertThat(one(1, 1, WO).find(PAGE, RO)).isEqualTo(IovaMap.UNMAPPED);
        assertThat(one(1, 1, RO).find(PAGE, RW)).isEqualTo(IovaMap.UNMAPPED);
        assertThat(one(1, 1, RW).find(PAGE, RW)).isZero();
    }

    @Test
    void shouldJoinPagesThatAdjoinEverywhere() {
        assertThat(with(one(1, 1, RW), 2, 1, 2, RW).count()).isEqualTo(1);
        assertThat(with(one(2, 1, RW), 1, 1, 1, RW).count()).isEqualTo(1);
        assertThat(with(one(1, 1, RW), 2, 1, 3, RW).count()).isEqualTo(2);
        assertThat(with(one(1, 1, RW), 2, 1, 2, RO).count()).isEqualTo(2);
        assertThat(with(one(1, 1, RW), 2, 1, 3, RW).covers(PAGE + 7, 3 * PAGE - 1, WO))
                .isTrue();
    }

    @Test
    void shouldCutOutWhatBecomesInvalid() {
        IovaMap map = one(10, 10, RW).without(12 * PAGE, 13 * PAGE - 1);
        assertThat(map.count()).isEqualTo(2);
        assertThat(map.find(12 * PAGE, RO)).isEqualTo(IovaMap.UNMAPPED);
        assertThat(map.covers(10 * PAGE, 12 * PAGE - 1, RW)).isTrue();
        assertThat(map.covers(13 * PAGE, 20 * PAGE - 1, RW)).isTrue();
        assertThat(map.hostAddress(map.find(13 * PAGE, RO), 13 * PAGE)).isEqualTo(13 * PAGE);
        assertThat(map.covers(11 * PAGE, 14 * PAGE, RO)).isFalse();
    }

    @Test
    void shouldKnowTheEndsOfTheAddressSpace() {
        IovaMap map = IovaMap.EMPTY.with(-PAGE, -1, 0, 0, RW).with(0, PAGE - 1, PAGE * 9, PAGE * 9, RW);
        assertThat(map.hostAddress(map.find(-1, RO), -1)).isEqualTo(PAGE - 1);
        assertThat(map.find(0, RO)).isZero();
        assertThat(map.without(0, -1).count()).isZero();
        assertThat(map.without(PAGE, -1).count()).isEqualTo(1);
    }

    /** Against a table of single pages. */
    @Test
    void shouldAgreeWithAPlainTable() {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        long[] hosts = new long[64];
        int[] permissions = new int[64];
        IovaMap map = IovaMap.EMPTY;
        for (int step = 0; step < 5000; step++) {
            int first = random.nextInt(64);
            int count = 1 + random.nextInt(64 - first);
            boolean isAdded = random.nextBoolean();
            long host = random.nextInt(4) * 64L + first;
            int permission = 1 + random.nextInt(3);
            map = isAdded
                    ? with(map, first, count, host, permission)
                    : map.without(first * PAGE, (first + count) * PAGE - 1);
            for (int i = first; i < first + count; i++) {
                hosts[i] = host + i - first;
                permissions[i] = isAdded ? permission : 0;
            }
            for (int i = 0; i < 64; i++) {
                long iova = i * PAGE + random.nextInt((int) PAGE);
                int found = map.find(iova, permissions[i] == 0 ? RO : permissions[i]);
                assertThat(found == IovaMap.UNMAPPED)
                        .as("page %d of %s", i, map)
                        .isEqualTo(permissions[i] == 0);
                if (found != IovaMap.UNMAPPED) {
                    assertThat(map.hostAddress(found, iova)).isEqualTo(hosts[i] * PAGE + iova % PAGE);
                }
            }
        }
    }

    // ---- the session's table

    private static IotlbMessage update(long iova, long size, long user, int permission) {
        return new IotlbMessage(iova, size, user, permission, IotlbMessage.UPDATE);
    }

    @Test
    void shouldRefuseUpdatesThatMakeNoSense() {
        try (TestMemory memory = new TestMemory(MEMORY, 16 * PAGE)) {
            Iotlb iotlb = new Iotlb();
            for (IotlbMessage bad : new IotlbMessage[] {
                update(0, PAGE, MEMORY - PAGE, RW),
                update(0, 17 * PAGE, MEMORY, RW),
                update(0, 0, MEMORY, RW),
                update(0, -PAGE, MEMORY, RW),
                update(-PAGE, 2 * PAGE, MEMORY, RW),
                update(1, PAGE, MEMORY, RW),
                update(0, PAGE - 1, MEMORY, RW),
                update(0, PAGE, MEMORY, 0),
                update(0, PAGE, MEMORY, 4)
            }) {
                assertThatThrownBy(() -> iotlb.update(bad, memory.snapshot()))
                        .as("%s", bad)
                        .isInstanceOf(VhostUserProtocolException.class);
            }
            assertThat(iotlb.map().count()).isZero();
        }
    }

    @Test
    void shouldKeepABoundedNumberOfMappings() throws Exception {
        try (TestMemory memory = new TestMemory(MEMORY, 16 * PAGE)) {
            Iotlb iotlb = new Iotlb();
            for (long page = 0; page < 3 * Iotlb.MAPPINGS_MAX; page++) {
                iotlb.update(update(2 * page * PAGE, PAGE, MEMORY, RW), memory.snapshot());
                assertThat(iotlb.map().find(2 * page * PAGE, RW)).isNotEqualTo(IovaMap.UNMAPPED);
            }
            assertThat(iotlb.map().count()).isEqualTo(Iotlb.MAPPINGS_MAX);
            assertThat(iotlb.losses()).isEqualTo(2 * Iotlb.MAPPINGS_MAX);
        }
    }

    @Test
    void shouldFollowMemoryThatIsMappedElsewhere() throws Exception {
        try (TestMemory memory = new TestMemory(MEMORY, 16 * PAGE);
                TestMemory smaller = new TestMemory(MEMORY, 8 * PAGE)) {
            Iotlb iotlb = new Iotlb();
            iotlb.update(update(PAGE, PAGE, MEMORY + 2 * PAGE, RW), memory.snapshot());
            iotlb.update(update(3 * PAGE, PAGE, MEMORY + 9 * PAGE, RW), memory.snapshot());
            iotlb.rebase(smaller.snapshot());
            assertThat(iotlb.map().count()).isEqualTo(1);
            assertThat(iotlb.map().hostAddress(iotlb.map().find(PAGE, RW), PAGE))
                    .isEqualTo(smaller.hostAddress(MEMORY + 2 * PAGE));
        }
    }

    @Test
    void shouldInvalidateWholePages() throws Exception {
        try (TestMemory memory = new TestMemory(MEMORY, 16 * PAGE)) {
            Iotlb iotlb = new Iotlb();
            iotlb.update(update(0, 3 * PAGE, MEMORY, RW), memory.snapshot());
            iotlb.invalidate(PAGE + 5, PAGE + 5);
            assertThat(iotlb.map().find(PAGE, RO)).isEqualTo(IovaMap.UNMAPPED);
            assertThat(iotlb.map().find(2 * PAGE - 1, RO)).isEqualTo(IovaMap.UNMAPPED);
            assertThat(iotlb.map().find(2 * PAGE, RO)).isNotEqualTo(IovaMap.UNMAPPED);
        }
    }
}
