// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CpuAffinityTest {
    private static final int EINVAL = 22;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "0|0",
                "0-3,8|0-3,8",
                "8,0-3|0-3,8",
                "1,2,3|1-3",
                "5-5|5",
                " 1 , 3 |1,3",
                "63-65|63-65",
                "8191|8191"
            })
    void shouldReadAndWriteCpuLists(String list, String normal) {
        assertThat(CpuAffinity.parse(list)).hasToString(normal).isEqualTo(CpuAffinity.parse(normal));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",", "a", "1-", "-1", "3-1", "1-2-3", "0,,1", "8192", "1;2", "99999999999"})
    void shouldRefuseWhatIsNoCpuList(String list) {
        assertThatThrownBy(() -> CpuAffinity.parse(list)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void shouldPinTheCallingThreadAndThoseItCreates() throws Exception {
        CpuAffinity all = CpuAffinity.ofCallingThread();
        CpuAffinity one = CpuAffinity.of(all.first());
        CompletableFuture<CpuAffinity> child = new CompletableFuture<>();
        CompletableFuture<CpuAffinity> own = new CompletableFuture<>();

        Thread thread = Thread.ofPlatform().start(() -> {
            assertThat(one.applyToCallingThread()).isZero();
            own.complete(CpuAffinity.ofCallingThread());
            Thread.ofPlatform().start(() -> child.complete(CpuAffinity.ofCallingThread()));
        });

        assertThat(own.get()).isEqualTo(one);
        assertThat(child.get()).isEqualTo(one);
        thread.join();
        assertThat(CpuAffinity.ofCallingThread()).isEqualTo(all);
    }

    @Test
    void shouldReturnErrnoWhenNoCpuIsAvailable() {
        assertThat(CpuAffinity.of(8191).applyToCallingThread()).isEqualTo(-EINVAL);
    }

    @Test
    void shouldTellItsMembers() {
        CpuAffinity affinity = CpuAffinity.of(2, 5, 64);

        assertThat(affinity.contains(5)).isTrue();
        assertThat(affinity.contains(3)).isFalse();
        assertThat(affinity.count()).isEqualTo(3);
        assertThat(affinity.first()).isEqualTo(2);
        assertThat(affinity.without(2)).hasToString("5,64");
        assertThat(CpuAffinity.of(2).without(2)).isEqualTo(CpuAffinity.of(2));
        assertThat(affinity).hasSameHashCodeAs(CpuAffinity.parse("2,5,64")).isNotEqualTo(CpuAffinity.of(2));
    }
}
