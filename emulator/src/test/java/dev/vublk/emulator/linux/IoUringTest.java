// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.ProcessResources;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The ring against the kernel, made in each of the ways that kernels of different age know. */
final class IoUringTest {
    private static final int ENTRIES = 8;
    private static final int FILE_BYTES = 4096;
    private static final byte IORING_OP_NOP = 0;
    private static final byte IORING_OP_FALLOCATE = 17;
    private static final byte IORING_OP_READ = 22;
    private static final byte IORING_OP_WRITE = 23;
    private static final byte NO_OPERATION = (byte) 255;
    private static final int EBADF = 9;
    private static final int EINVAL = 22;

    private final ProcessResources before = ProcessResources.now();
    private final long buffer = NativeMemory.allocateZeroed(FILE_BYTES);
    private int file;

    @SuppressWarnings("NullAway.Init") // Each test makes it in its way.
    private IoUring ring;

    /** Libraries are loaded now, and what they open is not counted. */
    @BeforeAll
    static void load() {
        new IoUring(ENTRIES).close();
        EventFd.close(EventFd.create());
    }

    @BeforeEach
    void openFile() {
        file = SharedMapping.createMemoryFile("disk", FILE_BYTES);
        assertThat(file).isPositive();
    }

    private void open(int way) {
        ring = new IoUring(ENTRIES, way);
        ring.enable();
    }

    @AfterEach
    void shouldLeaveNothing() {
        ring.close();
        ring.close(); // Harmless.
        FileDescriptor.close(file);
        NativeMemory.free(buffer);
        assertThat(ProcessResources.now().areWithin(before))
                .as("%s, before %s", ProcessResources.now(), before)
                .isTrue();
    }

    private void awaitCompletions(int count) {
        while (ring.completions() < count) {
            assertThat(ring.submit()).isNotNegative();
        }
        assertThat(ring.completions()).isEqualTo(count);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shouldMoveBytesAndTellWhoseTheyAre(int way) {
        open(way);
        NativeMemory.putLong(buffer + 512, 0x0123_4567_89ab_cdefL);
        ring.prepare(IORING_OP_WRITE, file, 1024, buffer + 512, 512, 0, -2);
        assertThat(ring.unsubmitted()).isEqualTo(1);
        awaitCompletions(1);
        assertThat(ring.unsubmitted()).isZero();
        assertThat(ring.userData(0)).isEqualTo(-2);
        assertThat(ring.result(0)).isEqualTo(512);
        ring.consume(1);

        ring.prepare(IORING_OP_READ, file, 1024, buffer, 8, 0, Long.MAX_VALUE);
        awaitCompletions(1);
        assertThat(ring.userData(0)).isEqualTo(Long.MAX_VALUE);
        assertThat(ring.result(0)).isEqualTo(8);
        ring.consume(1);
        assertThat(NativeMemory.getLong(buffer)).isEqualTo(0x0123_4567_89ab_cdefL);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shouldGoAroundManyTimes(int way) {
        open(way);
        for (int round = 0; round < 1000; round++) {
            int count = 1 + round % ENTRIES;
            for (int i = 0; i < count; i++) {
                ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, round + i);
            }
            awaitCompletions(count);
            for (int i = 0; i < count; i++) {
                assertThat(ring.userData(i)).isEqualTo(round + i);
                assertThat(ring.result(i)).isZero();
            }
            ring.consume(count);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shouldReportErrorsByCompletionAndGoOnBehindThem(int way) {
        open(way);
        ring.prepare(NO_OPERATION, -1, 0, 0, 0, 0, 1);
        ring.prepare(IORING_OP_READ, Integer.MAX_VALUE, 0, buffer, 8, 0, 2);
        // The length of a fallocate is in addr, its mode in len.
        ring.prepare(IORING_OP_FALLOCATE, file, 0, -1, 0, 0, 3);
        ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, 4);
        awaitCompletions(4);
        int[] results = new int[5];
        for (int i = 0; i < 4; i++) {
            results[(int) ring.userData(i)] = ring.result(i);
        }
        assertThat(results).containsExactly(0, -EINVAL, -EBADF, -EINVAL, 0);
        ring.consume(4);
    }

    @Test
    void shouldRefuseMoreThanItHasEntries() {
        open(0);
        for (int i = 0; i < ENTRIES; i++) {
            ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, i);
        }
        assertThatThrownBy(() -> ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, ENTRIES))
                .isInstanceOf(IllegalStateException.class);
        awaitCompletions(ENTRIES);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shouldSignalUnlessAskedNotTo(int way) {
        open(way);
        int eventFd = EventFd.create();
        try {
            ring.signalTo(eventFd);
            ring.suppressSignals();
            ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, 1);
            awaitCompletions(1);
            assertThat(EventFd.drain(eventFd) == Long.BYTES).isEqualTo(!ring.canSuppressSignals());

            ring.allowSignals();
            ring.prepare(IORING_OP_NOP, -1, 0, 0, 0, 0, 2);
            awaitCompletions(2);
            assertThat(EventFd.drain(eventFd)).isEqualTo(Long.BYTES);
        } finally {
            EventFd.close(eventFd);
        }
    }

    @Test
    void shouldSayWhyThereIsNoRing() {
        open(0);
        assertThatThrownBy(() -> new IoUring(1 << 30))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("io_uring_setup: ")
                .hasMessageContaining("(EINVAL)");
    }
}
