// SPDX-License-Identifier: Apache-2.0
/** A deterministic simulation of guest, rings, session, loops and disk on one thread; see docs/simulator.md. */
package dev.vublk.emulator.sim;
