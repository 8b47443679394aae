// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** A load that runs while something else is looked at. One thread. */
final class RunningLoad {
    private final CompletableFuture<BenchResult> result;

    private RunningLoad(CompletableFuture<BenchResult> result) {
        this.result = result;
    }

    /** Returns when its warm-up is over. */
    static RunningLoad start(BenchOptions options) throws InterruptedException {
        CompletableFuture<BenchResult> result = CompletableFuture.supplyAsync(() -> {
            try {
                return run(options);
            } catch (IOException e) {
                throw new CompletionException(e);
            }
        });
        TimeUnit.NANOSECONDS.sleep(options.warmupNs());
        return new RunningLoad(result);
    }

    /** What it has measured; waits for its end. */
    BenchResult result() throws IOException {
        try {
            return result.join();
        } catch (CompletionException e) {
            throw new IOException(e.getCause());
        }
    }

    /** Runs one to its end; throws when a request fails. */
    static BenchResult run(BenchOptions options) throws IOException {
        BenchResult result = new Bench(options).run(progress -> {});
        if (result.errors() > 0) {
            throw new IOException(
                    result.errors() + " requests failed, the first with status " + result.firstErrorStatus());
        }
        return result;
    }
}
