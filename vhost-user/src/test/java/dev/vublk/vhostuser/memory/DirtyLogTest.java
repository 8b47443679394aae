// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Bits of the log (vhost-user, "Migration"): page n of guest memory is bit n % 8 of byte n / 8. */
final class DirtyLogTest {
    private static final long PAGE = 4096;

    private static Set<Long> range(long first, long last) {
        Set<Long> pages = new TreeSet<>();
        for (long page = first; page <= last; page++) {
            pages.add(page);
        }
        return pages;
    }

    /** With offsets that put the log anywhere in its first long, and set by this process or by the kernel. */
    @ParameterizedTest
    @CsvSource({"0,true", "0,false", "3,true", "3,false", "12,true", "12,false", "4099,true", "4099,false"})
    void shouldMarkExactlyTheTouchedPages(long mmapOffset, boolean sealed) throws Exception {
        try (FrontendLog seen = FrontendLog.create(new LogRegion(64, mmapOffset), sealed);
                DirtyLog log = DirtyLog.map(seen.region(), seen.fd())) {
            long[][] cases = {
                // guest address, length, first page, last page
                {0, 1, 0, 0},
                {PAGE - 1, 1, 0, 0},
                {PAGE - 1, 2, 0, 1},
                {PAGE, PAGE, 1, 1},
                {7 * PAGE + 4095, 2, 7, 8},
                {31 * PAGE, 2 * PAGE, 31, 32},
                {63 * PAGE, 2 * PAGE, 63, 64},
                {5 * PAGE + 1, 200 * PAGE, 5, 205},
                {0, 512 * PAGE, 0, 511},
                {511 * PAGE, 1, 511, 511},
            };
            for (long[] each : cases) {
                seen.clear();
                log.markWritten(each[0], each[1]);
                assertThat(seen.pages()).as("%d+%d", each[0], each[1]).isEqualTo(range(each[2], each[3]));
                assertThat(seen.isCleanAround()).isTrue();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void shouldLeaveOutWhatLiesBeyondTheLog(boolean sealed) throws Exception {
        try (FrontendLog seen = FrontendLog.create(new LogRegion(3, 0), sealed);
                DirtyLog log = DirtyLog.map(seen.region(), seen.fd())) {
            log.markWritten(23 * PAGE, 100 * PAGE);
            assertThat(seen.pages()).containsExactly(23L);
            seen.clear();
            log.markWritten(24 * PAGE, 1);
            log.markWritten(1L << 40, PAGE);
            log.markWritten(-1, 1);
            log.markWritten(-PAGE, 2 * PAGE); // wraps around the end of the address space
            log.markWritten(Long.MIN_VALUE, Long.MAX_VALUE);
            log.markWritten(PAGE, 0);
            log.markWritten(PAGE, -1);
            assertThat(seen.pages()).isEmpty();
        }
    }

    /** The front end and other back ends change other bits of the same long at the same time. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void shouldLoseNoBitOfOthers(boolean sealed) throws Exception {
        int rounds = sealed ? 200 : 20;
        try (FrontendLog seen = FrontendLog.create(new LogRegion(64, 0), sealed);
                DirtyLog log = DirtyLog.map(seen.region(), seen.fd());
                DirtyLog other = DirtyLog.map(seen.region(), seen.fd())) {
            for (int round = 0; round < rounds; round++) {
                seen.clear();
                CountDownLatch begin = new CountDownLatch(1);
                Thread odd = Thread.ofPlatform().start(() -> {
                    begin.countDown();
                    for (long page = 1; page < 512; page += 2) {
                        other.markWritten(page * PAGE, 1);
                    }
                });
                begin.await();
                for (long page = 0; page < 512; page += 2) {
                    log.markWritten(page * PAGE, 1);
                }
                odd.join();
                assertThat(seen.pages()).isEqualTo(range(0, 511));
            }
        }
    }

    /** The front end takes the log's memory away: an error, and no end of the process. */
    @Test
    void shouldOutliveALogThatIsGone() throws Exception {
        try (FrontendLog seen = FrontendLog.create(new LogRegion(8192, 0), false);
                DirtyLog log = DirtyLog.map(seen.region(), seen.fd())) {
            log.markWritten(0, PAGE);
            assertThat(SharedMapping.resize(seen.fd(), 4096)).isZero();
            log.markWritten(0, PAGE);
            assertThatThrownBy(() -> log.markWritten(4096 * 8 * PAGE, PAGE))
                    .isInstanceOf(InternalError.class)
                    .hasMessageContaining("dirty log is gone");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, beyond the end of every file",
        "-1, 0, beyond the end of every file",
        "4097, 0, ends beyond its file",
        "4096, 1, ends beyond its file",
        "1, 4096, ends beyond its file",
        "1, -1, beyond the end of every file",
        "4096, 9223372036854775807, beyond the end of every file",
        "9223372036854775807, 0, larger than any guest needs",
    })
    void shouldRefuseImpossibleRegions(long size, long offset, String reason) throws Exception {
        int fd = SharedMapping.createMemoryFile("log", 4096);
        assertThatThrownBy(() -> DirtyLog.map(new LogRegion(size, offset), fd))
                .isInstanceOf(VhostUserProtocolException.class)
                .hasMessageContaining(reason);
        FileDescriptor.close(fd);
    }

    @Test
    void shouldRefuseWhatIsNoFile() {
        int fd = EventFd.create();
        assertThatThrownBy(() -> DirtyLog.map(new LogRegion(4096, 0), fd))
                .isInstanceOf(VhostUserProtocolException.class);
        FileDescriptor.close(fd);
    }
}
