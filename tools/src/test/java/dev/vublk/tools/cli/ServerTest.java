// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.emulator.DiskConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ServerTest {
    private final List<Integer> halts = new ArrayList<>();
    private final Server server = new Server(new PrintWriter(new StringWriter()), new ControlOptions(), halts::add);

    @Test
    void shouldStopInOrderOnTheFirstSignal() {
        server.onSignal(15);

        assertThat(server.isToldToStop()).isTrue();
        assertThat(halts).isEmpty();
    }

    /** 128 + number: the status that a shell shows for a process that this signal has killed. */
    @Test
    void shouldEndAtOnceOnTheSecondSignal() {
        server.onSignal(15);
        server.onSignal(2);

        assertThat(halts).containsExactly(130);
    }

    @Test
    void shouldTellSizeQueuesAndReadOnlyBehindTheStablePrefix() throws IOException {
        assertThat(readyLine("image=null:64M,socket=/run/a.sock"))
                .isEqualTo("ready: null:64M on /run/a.sock (64 MiB, 64 queues)");
        assertThat(readyLine("image=null:64M,socket-fd=3,queues=1,read-only=on"))
                .isEqualTo("ready: null:64M on socket fd 3 (64 MiB, 1 queue, read-only)");
    }

    private static String readyLine(String spec) throws IOException {
        DiskConfig disk = DiskSpec.parse(spec, new DiskDefaults()).build();
        try (BlockDriver driver = BlockDrivers.open(disk.block())) {
            return Server.readyLine(disk, driver.limits());
        }
    }
}
