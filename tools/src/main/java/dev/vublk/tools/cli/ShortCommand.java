// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.Set;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** {@code vublk} with those commands alone that are over so soon that setting up the others would count. */
@Command(name = "vublk", subcommands = ConvertCommand.class)
final class ShortCommand {
    /** First arguments that this is for. */
    static final Set<String> NAMES = Set.of("convert", "export-image");

    @Option(names = "--debug", scope = ScopeType.INHERIT, description = "Show the stack trace of a failure.")
    private boolean debug;

    boolean isDebug() {
        return debug;
    }
}
