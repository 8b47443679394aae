// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** QEMU's word on an image. */
final class QemuImg {
    private QemuImg() {}

    static void assumeInstalled() throws InterruptedException {
        Assumptions.assumeTrue(
                HostCommand.succeeds("qemu-img", "--version") && HostCommand.succeeds("qemu-io", "--version"),
                "skipped: qemu-img or qemu-io is not installed");
    }

    static void run(String... arguments) throws IOException, InterruptedException {
        String[] command = new String[arguments.length + 1];
        command[0] = "qemu-img";
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        HostCommand.run(command);
    }

    static void assertClean(Path image) throws IOException, InterruptedException {
        assertThat(HostCommand.run("qemu-img", "check", image.toString())).contains("No errors were found");
    }

    /** What {@code qemu-img info} says, but for what differs between images that are the same. */
    static JsonNode info(Path image) throws IOException, InterruptedException {
        return comparable(new ObjectMapper()
                .readTree(HostCommand.run("qemu-img", "info", "-U", "--output=json", image.toString())));
    }

    static JsonNode comparable(JsonNode info) {
        ((ObjectNode) info).remove("filename");
        ((ObjectNode) info).remove("actual-size");
        ((ObjectNode) info).remove("children");
        return info;
    }
}
