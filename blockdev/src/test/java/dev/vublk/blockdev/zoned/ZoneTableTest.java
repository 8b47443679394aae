// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.ZoneOperation.*;
import static dev.vublk.blockdev.linux.ZoneIoctl.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.linux.Errno;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** States of zones and what they take (virtio 1.2 section 5.2.6). */
final class ZoneTableTest {
    private static final long ZONE = 64 << 10;
    private static final long CAPACITY = 60 << 10;

    /** Zone 0 is conventional, the others are empty. */
    private static ZoneTable table(int openMax, int activeMax) {
        long[] capacities = new long[8];
        Arrays.fill(capacities, 1, 8, CAPACITY);
        long[] words = new long[8];
        Arrays.fill(words, 1, 8, ZoneTable.word(0, BLK_ZONE_COND_EMPTY));
        return new ZoneTable(8 * ZONE, ZONE, 4096, openMax, activeMax, capacities, words, (zone, word) -> {});
    }

    private static int write(ZoneTable table, int zone, long lengthBytes) {
        int result = table.beginWrite(zone, table.writtenEndBytes(zone), lengthBytes);
        if (result == 0) {
            table.endWrite(zone, lengthBytes);
        }
        return result;
    }

    private static int condition(ZoneTable table, int zone) {
        return ZoneTable.condition(table.word(zone));
    }

    /** Brings zone 1 into a state. */
    private static ZoneTable in(int condition) {
        ZoneTable table = table(0, 0);
        switch (condition) {
            case BLK_ZONE_COND_IMP_OPEN -> write(table, 1, 4096);
            case BLK_ZONE_COND_EXP_OPEN -> {
                table.operate(OPEN, 1);
                write(table, 1, 4096);
            }
            case BLK_ZONE_COND_CLOSED -> {
                write(table, 1, 4096);
                table.operate(CLOSE, 1);
            }
            case BLK_ZONE_COND_FULL -> table.operate(FINISH, 1);
            case BLK_ZONE_COND_READONLY, BLK_ZONE_COND_OFFLINE -> table.refresh(1, ZoneTable.word(0, condition));
            default -> {}
        }
        assertThat(condition(table, 1)).isEqualTo(condition);
        return table;
    }

    @ParameterizedTest
    @CsvSource({
        // state 1 empty, 2 implicitly open, 3 explicitly open, 4 closed, 13 read-only, 14 full, 15 offline; -1 refused
        "1, OPEN, 3", "1, CLOSE, -1", "1, FINISH, 14", "1, RESET, 1",
        "2, OPEN, 3", "2, CLOSE, 4", "2, FINISH, 14", "2, RESET, 1",
        "3, OPEN, 3", "3, CLOSE, 4", "3, FINISH, 14", "3, RESET, 1",
        "4, OPEN, 3", "4, CLOSE, 4", "4, FINISH, 14", "4, RESET, 1",
        "14, OPEN, -1", "14, CLOSE, -1", "14, FINISH, 14", "14, RESET, 1",
        "13, OPEN, -1", "13, CLOSE, -1", "13, FINISH, -1", "13, RESET, -1",
        "15, OPEN, -1", "15, CLOSE, -1", "15, FINISH, -1", "15, RESET, -1",
    })
    void shouldFollowTheStateMachine(int before, ZoneOperation operation, int after) {
        ZoneTable table = in(before);
        assertThat(table.permits(operation, 1)).isEqualTo(after >= 0);
        assertThat(table.operate(operation, 1)).isEqualTo(after >= 0 ? 0 : -Errno.EINVAL);
        assertThat(condition(table, 1)).isEqualTo(after >= 0 ? after : before);
        boolean unwritten = before == 1 || before >= 13;
        boolean reset = operation == RESET && after >= 0;
        assertThat(ZoneTable.writtenBytes(table.word(1))).isEqualTo(unwritten || reset ? 0 : 4096);
    }

    @Test
    void shouldEmptyAnOpenZoneThatIsClosedUnwritten() {
        ZoneTable table = table(0, 0);
        table.operate(OPEN, 1);
        assertThat(table.operate(CLOSE, 1)).isZero();
        assertThat(condition(table, 1)).isEqualTo(BLK_ZONE_COND_EMPTY);
    }

    @Test
    void shouldRefuseEverythingOnAConventionalZone() {
        for (ZoneOperation operation : ZoneOperation.values()) {
            assertThat(table(0, 0).operate(operation, 0)).isEqualTo(-Errno.EINVAL);
        }
    }

    @Test
    void shouldBeFullAtItsCapacity() {
        ZoneTable table = table(1, 1);
        assertThat(write(table, 1, CAPACITY - 4096)).isZero();
        assertThat(write(table, 1, 8192)).as("beyond the capacity").isEqualTo(-Errno.EINVAL);
        assertThat(write(table, 1, 4096)).isZero();
        assertThat(condition(table, 1)).isEqualTo(BLK_ZONE_COND_FULL);
        assertThat(write(table, 1, 4096)).isEqualTo(-Errno.EINVAL);
        assertThat(write(table, 2, 4096)).as("the full zone takes no resource").isZero();
    }

    @Test
    void shouldTakeWritesAtThePointerAndInWholeUnitsOnly() {
        ZoneTable table = table(0, 0);
        assertThat(table.beginWrite(1, ZONE + 4096, 4096)).isEqualTo(-Errno.ESPIPE);
        assertThat(write(table, 1, 4096)).isZero();
        assertThat(table.beginWrite(1, ZONE, 4096)).isEqualTo(-Errno.ESPIPE);
        assertThat(table.beginWrite(1, ZONE + 4096, 512)).isEqualTo(-Errno.ESPIPE);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldForgetAWriteThatFailed(boolean open) {
        ZoneTable table = table(0, 1);
        if (open) {
            table.operate(OPEN, 1);
        }
        table.beginWrite(1, ZONE, 4096);
        table.endWrite(1, 0);
        assertThat(table.word(1)).isEqualTo(ZoneTable.word(0, open ? BLK_ZONE_COND_EXP_OPEN : BLK_ZONE_COND_EMPTY));
    }

    @Test
    void shouldCloseAnImplicitlyOpenZoneForAnotherOne() {
        ZoneTable table = table(2, 0);
        write(table, 1, 4096);
        write(table, 2, 4096);
        assertThat(write(table, 3, 4096)).isZero();
        assertThat(condition(table, 1)).isEqualTo(BLK_ZONE_COND_CLOSED);
        assertThat(table.operate(OPEN, 4)).isZero();
        assertThat(condition(table, 2)).isEqualTo(BLK_ZONE_COND_CLOSED);
    }

    @Test
    void shouldNotCloseWhatIsExplicitlyOpenOrBeingWritten() {
        ZoneTable table = table(2, 0);
        table.operate(OPEN, 1);
        table.beginWrite(2, 2 * ZONE, 4096);
        assertThat(write(table, 3, 4096)).isEqualTo(-Errno.ETOOMANYREFS);
        assertThat(table.operate(OPEN, 3)).isEqualTo(-Errno.ETOOMANYREFS);
        assertThat(condition(table, 3)).isEqualTo(BLK_ZONE_COND_EMPTY);
        table.endWrite(2, 4096);
        assertThat(write(table, 3, 4096)).isZero();
    }

    @Test
    void shouldCountActiveZonesAndTellThemFirst() {
        ZoneTable table = table(2, 2);
        table.operate(OPEN, 1);
        table.operate(OPEN, 2);
        assertThat(table.operate(OPEN, 3)).as("both limits").isEqualTo(-Errno.EOVERFLOW);
        assertThat(write(table, 3, 4096)).isEqualTo(-Errno.EOVERFLOW);

        write(table, 1, 4096);
        table.operate(CLOSE, 1);
        assertThat(write(table, 3, 4096)).as("closed is active").isEqualTo(-Errno.EOVERFLOW);
        assertThat(write(table, 1, 4096)).as("active already").isZero();
        table.operate(RESET, 1);
        assertThat(write(table, 3, 4096)).isZero();
    }
}
