// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.PrintWriter;
import java.util.Locale;
import picocli.CommandLine.Option;

/** Whether a command prints its answer for people or for programs: {@code --json}, or as qemu-img has it. */
final class ReportOptions {
    enum Output {
        HUMAN,
        JSON
    }

    @Option(names = "--json", description = "Print JSON: the same as --output=json.")
    private boolean json;

    @Option(names = "--output", paramLabel = "human|json", description = "Print for people (default) or programs.")
    private Output output = Output.HUMAN;

    /** The same options for arguments that picocli need not read. */
    PlainArguments addTo(PlainArguments plain) {
        return plain.flag(() -> json = true, "--json")
                .value(text -> output = Output.valueOf(text.toUpperCase(Locale.ROOT)), "--output");
    }

    boolean isJson() {
        return json || output == Output.JSON;
    }

    /** Prints maps and lists as JSON. */
    static void print(Object report, PrintWriter out) throws JsonProcessingException {
        out.println(
                new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(report));
        out.flush();
    }
}
