// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

/**
 * Which rings the guests of all tests use that do not say it themselves: {@code -Dvublk.e2e.packed=true} or {@code false}.
 * Without it each takes what it does by itself: UML packed ones, because they are offered, QEMU split ones.
 */
enum PackedRings {
    ALWAYS,
    NEVER,
    AS_THE_GUEST_LIKES;

    static PackedRings chosen() {
        return switch (System.getProperty("vublk.e2e.packed", "")) {
            case "true" -> ALWAYS;
            case "false" -> NEVER;
            case "" -> AS_THE_GUEST_LIKES;
            default -> throw new IllegalArgumentException("vublk.e2e.packed is neither true nor false");
        };
    }
}
