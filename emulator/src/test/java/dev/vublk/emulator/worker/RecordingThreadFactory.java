// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadFactory;

/** Remembers which thread created which. Any thread. */
final class RecordingThreadFactory implements ThreadFactory {
    final List<Thread> creators = new CopyOnWriteArrayList<>();
    final List<Thread> created = new CopyOnWriteArrayList<>();

    @Override
    public Thread newThread(Runnable body) {
        Thread thread = Thread.ofPlatform()
                .daemon()
                .name("test-worker-" + created.size())
                .unstarted(body);
        creators.add(Thread.currentThread());
        created.add(thread);
        return thread;
    }
}
