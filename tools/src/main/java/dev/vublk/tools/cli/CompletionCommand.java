// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code vublk completion}: prints a script that completes the command's options. */
@Command(
        name = "completion",
        mixinStandardHelpOptions = true,
        description = {
            "Print a completion script for bash and zsh.",
            "",
            "Use it with: source <(vublk completion), or put it into /etc/bash_completion.d/vublk."
        })
final class CompletionCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    private CompletionCommand() {}

    @Override
    public void run() {
        spec.commandLine().getOut().print(AutoComplete.bash("vublk", VublkCommand.commandLine()));
        spec.commandLine().getOut().flush();
    }
}
