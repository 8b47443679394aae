// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import org.junit.jupiter.api.Test;

/** Where the fault of memory that is gone is thrown: in code of every degree of compilation before the access is left. */
final class HostMemoryTest {
    private static final int PAGE_BYTES = 4096;
    private static final int COMPILED = 200_000;
    private static final int GONE = 2_000;

    /** Short, so that it becomes part of its caller when that is compiled: the fault must not be thrown there. */
    private static int readOrMinusOne(long address) {
        try {
            int value = HostMemory.getU16(address);
            HostMemory.awaitFault();
            return value;
        } catch (InternalError pageGone) {
            return -1;
        }
    }

    private static long sumOf(long address, int count) {
        long sum = 0;
        for (int i = 0; i < count; i++) {
            sum += readOrMinusOne(address + (i & 1023) * 2L);
        }
        return sum;
    }

    @Test
    void shouldThrowWhereTheFaultIsAwaited() {
        int fd = SharedMapping.createMemoryFile("vublk-guest", PAGE_BYTES);
        long address = SharedMapping.map(fd, 0, PAGE_BYTES);
        try {
            assertThat(sumOf(address, GONE)).isZero();
            for (int i = 0; i < 20; i++) {
                SharedMapping.resize(fd, 0);
                assertThat(sumOf(address, GONE)).as("round %s", i).isEqualTo(-GONE);
                SharedMapping.resize(fd, PAGE_BYTES);
                assertThat(sumOf(address, COMPILED)).isZero();
            }
        } finally {
            SharedMapping.unmap(address, PAGE_BYTES);
            FileDescriptor.close(fd);
        }
    }
}
