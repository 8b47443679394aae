// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class FlameGraphTest {
    /** The kernel's addresses are in the upper half; the leaf comes first. */
    private static final String SCRIPT = """
            vublk-iothread-   71\s
            \tffffffff81409e3d io_submit_sqes
            \tffffffff821ef691 do_syscall_64
            \t    7f0000001000 int dev.vublk.emulator.linux.IoUring.enter(int, int)
            \t    7f0000000100 void dev.vublk.emulator.iothread.IOThread.run()

            vublk-iothread-   71\s
            \t    7f0000002000 dev.vublk.A.<init>(long)
            \t    7f0000000100 void dev.vublk.emulator.iothread.IOThread.run()

            C2 CompilerThre   72\s
            \t    7f0000009000 Compile::Compile

            """;

    @Test
    void shouldCountTheThreadsAskedFor() {
        FlameGraph graph = FlameGraph.of(SCRIPT, "vublk-iothread");
        assertThat(graph.samples()).isEqualTo(2);
        assertThat(graph.partInKernel()).isEqualTo(0.5);
        assertThat(FlameGraph.of(SCRIPT, "").samples()).isEqualTo(3);
    }

    @Test
    void shouldTellWhatTimeIsSpentIn() {
        FlameGraph graph = FlameGraph.of(SCRIPT, "");
        assertThat(graph.functions(0.3))
                .containsOnlyKeys("io_submit_sqes", "A.<init>", "Compile::Compile")
                .containsValue(1 / 3.0);
        assertThat(graph.functions(0.4)).isEmpty();
    }

    @Test
    void shouldDrawEachFunctionAsWideAsItIsFrequent() {
        String svg = FlameGraph.of(SCRIPT, "vublk-iothread").svg("a & b");
        assertThat(svg)
                .contains("a &amp; b")
                .contains("<title>IOThread.run: 100.0 %</title><rect x=\"10.0\"")
                .contains("<title>A.&lt;init&gt;: 50.0 %</title>")
                .contains("<title>io_submit_sqes: 50.0 %</title>")
                .doesNotContain("Compile");
    }

    @Test
    void shouldDrawNothingOfNothing() {
        assertThat(FlameGraph.of("", "").svg("empty")).contains("</svg>");
    }
}
