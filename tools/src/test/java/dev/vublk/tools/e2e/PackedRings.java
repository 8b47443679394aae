// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

/**
 * Which rings the guests of all tests use that do not say it themselves: {@code -Dvublk.e2e.packed=true} or {@code false}.
 * Without it each takes what it does by itself: UML packed ones, because they are offered, QEMU split ones, and what only
 * QEMU can do is done with packed ones too. Every guest makes sure that it has the kind it should have.
 */
enum PackedRings {
    ALWAYS,
    NEVER,
    AS_THE_GUEST_LIKES;

    /** For a test that is to run on both kinds: whether packed, one after the other, or the one that was chosen. */
    static boolean[] either() {
        return switch (chosen()) {
            case ALWAYS -> new boolean[] {true};
            case NEVER -> new boolean[] {false};
            case AS_THE_GUEST_LIKES -> new boolean[] {false, true};
        };
    }

    static PackedRings chosen() {
        return switch (System.getProperty("vublk.e2e.packed", "")) {
            case "true" -> ALWAYS;
            case "false" -> NEVER;
            case "" -> AS_THE_GUEST_LIKES;
            default -> throw new IllegalArgumentException("vublk.e2e.packed is neither true nor false");
        };
    }
}
