// SPDX-License-Identifier: Apache-2.0
/**
 * Events for Java Flight Recorder: off by default, and free while no recording runs. Switch one on with, for example,
 * {@code jcmd PID JFR.start dev.vublk.Request#enabled=true}.
 */
@NullMarked
package dev.vublk.emulator.trace;

import org.jspecify.annotations.NullMarked;
