// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The {@code vublk} command. */
@Command(name = "vublk", description = "Serves disks to virtual machines over vhost-user.")
public final class Main implements Runnable {
    private Main() {}

    @Override
    public void run() {}

    /** Runs the command and exits with its status. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new Main()).execute(args));
    }
}
