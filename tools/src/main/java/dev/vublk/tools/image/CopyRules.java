// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * How a copy is done.
 *
 * @param threadCount how many threads copy
 * @param rate how fast
 * @param filters what is done to each piece; one filter for each thread
 * @param checkpoints keeps how far it is; null when nobody wants to go on later
 */
record CopyRules(
        int threadCount,
        RateLimit rate,
        Supplier<PieceFilter> filters,
        @Nullable Checkpoints checkpoints) {
    PieceFilter openFilter() {
        return filters.get();
    }
}
