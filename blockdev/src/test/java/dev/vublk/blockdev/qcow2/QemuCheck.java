// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.testing.Shell;
import java.io.IOException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What {@code qemu-img check} says of an image. */
record QemuCheck(int status, String output) {
    static QemuCheck of(Path image) throws IOException {
        Shell.Result result = Shell.run("qemu-img", "check", "-f", "qcow2", "--output=json", image.toString());
        return new QemuCheck(result.exitCode(), result.output());
    }

    /** A number of the JSON output; 0 where it is left out. */
    long number(String key) {
        Matcher matcher = Pattern.compile("\"" + key + "\": (\\d+)").matcher(output);
        return matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
    }

    /** The same in our words. */
    Qcow2CheckResult result() {
        return new Qcow2CheckResult(
                number("check-errors"),
                number("corruptions"),
                number("leaks"),
                0,
                0,
                number("total-clusters"),
                number("allocated-clusters"),
                number("fragmented-clusters"),
                number("compressed-clusters"),
                number("image-end-offset"));
    }
}
