// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** A copy from a source to a target that is under way: its first failure, or somebody's wish, stops it. Used once. */
abstract class CopyWork {
    final ImageSource source;
    final ImageTarget target;
    final CopyRules rules;
    final CopyProgress progress;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    CopyWork(ImageSource source, ImageTarget target, CopyRules rules, CopyProgress progress) {
        this.source = source;
        this.target = target;
        this.rules = rules;
        this.progress = progress;
    }

    /** Stops as soon as the pieces under way are written; {@link #run} then throws an exception with that message. Any thread. */
    final void cancel(String why) {
        fail(new IOException(why));
    }

    /** Stops because of this, unless it stops already. Any thread. */
    final void fail(Throwable thrown) {
        failure.compareAndSet(null, thrown);
        source.giveUp();
        target.giveUp();
    }

    final boolean hasFailed() {
        return failure.get() != null;
    }

    /** Copies everything and completes the target. */
    final void run() throws IOException {
        copyAll();
        Throwable failed = failure.get();
        Checkpoints checkpoints = rules.checkpoints();
        if (failed != null && checkpoints != null) {
            try {
                checkpoints.stop();
            } catch (IOException e) {
                failed.addSuppressed(e); // What failed first is what the user must hear of; the last record holds.
            }
        }
        rethrow(failed);
        target.finish(source.sizeBytes());
        rethrow(failure.get());
    }

    /** Copies every piece, or as many as there are before it fails; throws nothing. */
    abstract void copyAll();

    private static void rethrow(@Nullable Throwable thrown) throws IOException {
        switch (thrown) {
            case null -> {}
            case IOException e -> throw e;
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(thrown);
        }
    }
}
