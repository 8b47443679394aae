// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

/** Something happened that must not. Thrown out of the simulation, past whoever would handle an exception. */
final class SimulationFailure extends RuntimeException {
    private static final long serialVersionUID = 1;

    SimulationFailure(String what) {
        super(what);
    }

    SimulationFailure(String what, Throwable cause) {
        super(what, cause);
    }
}
