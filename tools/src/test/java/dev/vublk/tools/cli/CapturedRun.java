// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import picocli.CommandLine;

/** What one run of the command line printed, and its exit status; inside the test's own process. */
record CapturedRun(int status, String out, String err) {
    static CapturedRun of(String... args) {
        return of(VublkCommand.commandLine(), args);
    }

    static CapturedRun of(CommandLine line, String... args) {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        line.setOut(new PrintWriter(out, true));
        line.setErr(new PrintWriter(err, true));
        int status = line.execute(args);
        return new CapturedRun(status, out.toString(), err.toString());
    }
}
