// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/**
 * How hard {@link DeflateEncoder} looks for matches.
 *
 * @param candidatesMax how many earlier places are tried for each position
 * @param lengthNice a match of this length is taken at once
 * @param lazySteps at how many of the next positions a better match is looked for before one is taken: 0 to 2
 */
record DeflateLevel(int candidatesMax, int lengthNice, int lazySteps) {
    private static final DeflateLevel[] LEVELS = {
        new DeflateLevel(2, 16, 0),
        new DeflateLevel(3, 24, 0),
        new DeflateLevel(6, 32, 0),
        new DeflateLevel(6, 32, 1),
        new DeflateLevel(8, 40, 1),
        new DeflateLevel(12, 48, 1), // as small as zlib's level 6, in half the time
        new DeflateLevel(32, 96, 1),
        new DeflateLevel(128, 258, 2),
        new DeflateLevel(1024, 258, 2),
    };

    static DeflateLevel of(int level) {
        return LEVELS[level - 1];
    }
}
