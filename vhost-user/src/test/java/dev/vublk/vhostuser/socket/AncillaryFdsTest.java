// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import org.junit.jupiter.api.Test;

final class AncillaryFdsTest {
    @Test
    void shouldCloseWhatWasNotTaken() {
        int kept = EventFd.create();
        int dropped = EventFd.create();
        try (AncillaryFds fds = new AncillaryFds()) {
            fds.add(kept);
            fds.add(dropped);
            assertThat(fds.count()).isEqualTo(2);
            assertThat(fds.borrow(1)).isEqualTo(dropped);
            assertThat(fds.take(0)).isEqualTo(kept);
            assertThatThrownBy(() -> fds.take(0)).isInstanceOf(IllegalStateException.class);
            assertThatThrownBy(() -> fds.borrow(2)).isInstanceOf(IllegalStateException.class);
        }
        assertThat(FileStatus.ofDescriptor(kept)).isNotNull();
        assertThat(FileStatus.ofDescriptor(dropped)).isNull();
        FileDescriptor.close(kept);
    }

    @Test
    void shouldHoldAsManyAsAMessageMayBring() {
        try (AncillaryFds fds = new AncillaryFds()) {
            for (int i = 0; i < 253; i++) {
                fds.add(EventFd.create());
            }
            assertThat(fds.count()).isEqualTo(253);
            assertThat(FileStatus.ofDescriptor(fds.borrow(252))).isNotNull();
        }
    }
}
