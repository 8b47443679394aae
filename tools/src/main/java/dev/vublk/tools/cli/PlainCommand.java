// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.concurrent.Callable;

/** A command that runs without picocli when its arguments are plain. */
interface PlainCommand extends Callable<Integer> {
    /** Its options, as picocli has them; once set, {@link #call} runs it. */
    PlainArguments plain();
}
