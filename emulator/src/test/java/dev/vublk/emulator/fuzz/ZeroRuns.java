// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import java.util.Arrays;

/** Files that are mostly zeroes, as short inputs: a zero stands for a run of zeroes, whose length less one is the byte behind it. */
final class ZeroRuns {
    private ZeroRuns() {}

    /** The file, at most so long. */
    static byte[] expand(byte[] input, int bytesMax) {
        byte[] file = new byte[bytesMax];
        int length = 0;
        for (int i = 0; i < input.length && length < bytesMax; i++) {
            if (input[i] != 0) {
                file[length++] = input[i];
            } else if (++i < input.length) {
                length = Math.min(bytesMax, length + (input[i] & 0xff) + 1);
            }
        }
        return Arrays.copyOf(file, length);
    }
}
