// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class KernelAtomicTest {
    private static final int EFAULT = 14;

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 0x8000_0000, 0x0001_0100, 0x7ff, 0xfff, 0x7fff_ffff, -1, -2})
    void shouldSetExactlyTheBits(int mask) {
        try (Arena arena = Arena.ofConfined()) {
            long address = arena.allocate(12, 4).address();
            HostMemory.putInt(address + 4, 0x0100_0400);
            assertThat(KernelAtomic.or(address + 4, mask)).isZero();
            assertThat(HostMemory.getInt(address + 4)).isEqualTo(0x0100_0400 | mask);
            assertThat(HostMemory.getInt(address)).isZero();
            assertThat(HostMemory.getInt(address + 8)).isZero();
        }
    }

    @Test
    void shouldTellThatMemoryIsGone() {
        int fd = SharedMapping.createMemoryFile("gone", 4096);
        long address = SharedMapping.map(fd, 0, 4096);
        assertThat(KernelAtomic.or(address, 1)).isZero();
        assertThat(SharedMapping.resize(fd, 0)).isZero();
        assertThat(KernelAtomic.or(address, 1)).isEqualTo(-EFAULT);
        assertThat(KernelAtomic.or(address, -1)).isEqualTo(-EFAULT);
        SharedMapping.unmap(address, 4096);
        FileDescriptor.close(fd);
    }
}
