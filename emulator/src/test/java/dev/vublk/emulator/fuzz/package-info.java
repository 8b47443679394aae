// SPDX-License-Identifier: Apache-2.0
/** Coverage-guided fuzzing of everything that a guest, a front end or an image can say; see docs/fuzzing.md. */
package dev.vublk.emulator.fuzz;
