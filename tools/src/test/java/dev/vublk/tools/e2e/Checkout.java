// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import java.nio.file.Files;
import java.nio.file.Path;

/** Where things are in the checkout that is being tested. */
final class Checkout {
    private static final Path ROOT = findRoot();

    private Checkout() {}

    private static Path findRoot() {
        Path at = Path.of("").toAbsolutePath();
        while (!Files.isRegularFile(at.resolve("scripts/vublk"))) {
            at = at.getParent();
            if (at == null) {
                throw new IllegalStateException("not inside a checkout");
            }
        }
        return at;
    }

    static String launcher() {
        return ROOT.resolve("scripts/vublk").toString();
    }

    /** A script for users. */
    static String script(String name) {
        return ROOT.resolve("scripts").resolve(name).toString();
    }

    static String guestScript(String name) {
        return ROOT.resolve("scripts/guest").resolve(name).toString();
    }

    /** A script that runs inside a guest. */
    static String guestTest(String name) {
        return guestScript("tests/" + name + ".sh");
    }
}
