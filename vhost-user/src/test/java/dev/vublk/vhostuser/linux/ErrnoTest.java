// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class ErrnoTest {
    @Test
    void shouldDescribeANumberOrItsNegative() {
        assertThat(Errno.describe(Errno.ENOENT)).isEqualTo("No such file or directory (ENOENT)");
        assertThat(Errno.describe(-Errno.ENOENT)).isEqualTo("No such file or directory (ENOENT)");
    }

    /** The names are a list by position: one missing would shift all that follow. */
    @Test
    void shouldKnowTheNameOfEachNumberUsedHere() {
        assertThat(Errno.describe(Errno.EAGAIN)).endsWith("(EAGAIN)");
        assertThat(Errno.describe(Errno.EMFILE)).isEqualTo("Too many open files (EMFILE)");
        assertThat(Errno.describe(Errno.ENAMETOOLONG)).isEqualTo("File name too long (ENAMETOOLONG)");
        assertThat(Errno.describe(Errno.EPROTOTYPE)).isEqualTo("Protocol wrong type for socket (EPROTOTYPE)");
        assertThat(Errno.describe(Errno.ECONNABORTED)).endsWith("(ECONNABORTED)");
        assertThat(Errno.describe(Errno.ENOBUFS)).endsWith("(ENOBUFS)");
        assertThat(Errno.describe(Errno.ECONNREFUSED)).isEqualTo("Connection refused (ECONNREFUSED)");
        assertThat(Errno.describe(116)).isEqualTo("Stale file handle (ESTALE)");
    }

    @Test
    void shouldDescribeWhatItHasNoNameFor() {
        assertThat(Errno.describe(41)).contains("(errno 41)");
        assertThat(Errno.describe(4095)).contains("(errno 4095)");
        assertThat(Errno.describe(0)).contains("(errno 0)");
    }
}
