// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;

/** What is done to a piece between source and target. Belongs to one thread. */
interface PieceFilter extends AutoCloseable {
    /** Looks at a piece and says more exactly what its runs are. */
    void apply(Chunk chunk) throws IOException;

    @Override
    void close();

    /** Looks for zeroes in units of so many bytes; 0 for not at all. */
    static PieceFilter ofZeroes(int unitBytes) {
        return new PieceFilter() {
            @Override
            public void apply(Chunk chunk) {
                if (unitBytes > 0) {
                    chunk.findZeroes(unitBytes);
                }
            }

            @Override
            public void close() {}
        };
    }
}
