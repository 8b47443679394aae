// SPDX-License-Identifier: Apache-2.0
/** A disk whose power is cut under a real guest: what an fsync has promised must be there afterwards. */
package dev.vublk.emulator.powercut;
