// SPDX-License-Identifier: Apache-2.0
/** The same requests through vublk, through qemu-storage-daemon and through a model; see docs/fuzzing.md. */
package dev.vublk.emulator.differential;
