// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.memory.HostMemory;
import org.junit.jupiter.api.Test;

final class SharedMappingTest {
    private static final long PAGE = SharedMapping.PAGE_SIZE_BYTES;

    /** Guards the sixth argument: jnr-ffi passes garbage there when all parameters are primitive. */
    @Test
    void shouldMapAtTheOffsetGiven() {
        int fd = SharedMapping.createMemoryFile("vublk-test", 3 * PAGE);
        long whole = SharedMapping.map(fd, 0, 3 * PAGE);
        for (int page = 0; page < 3; page++) {
            HostMemory.putInt(whole + page * PAGE, 1000 + page);
        }
        for (int page = 0; page < 3; page++) {
            long part = SharedMapping.map(fd, page * PAGE, PAGE);
            assertThat(part).isPositive();
            assertThat(HostMemory.getInt(part)).isEqualTo(1000 + page);
            assertThat(SharedMapping.unmap(part, PAGE)).isZero();
        }
        assertThat(SharedMapping.unmap(whole, 3 * PAGE)).isZero();
        FileDescriptor.close(fd);
    }

    @Test
    void shouldAnswerWithANegativeErrno() {
        assertThat(SharedMapping.map(-1, 0, PAGE)).isEqualTo(-Errno.EBADF);
        int fd = SharedMapping.createMemoryFile("vublk-test", PAGE);
        assertThat(SharedMapping.map(fd, 1, PAGE)).isEqualTo(-Errno.EINVAL);
        assertThat(SharedMapping.createMemoryFile("vublk-test", -1)).isEqualTo(-Errno.EINVAL);
        FileDescriptor.close(fd);
    }
}
