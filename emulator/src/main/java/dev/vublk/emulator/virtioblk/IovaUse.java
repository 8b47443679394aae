// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import java.util.ArrayList;
import java.util.List;

/**
 * Which I/O virtual addresses the requests of a queue use while they are in flight, so that the guest is told only when a page is
 * its own again. Runs on the queue's IOThread.
 */
final class IovaUse {
    private final VirtioBlkRequest[] inFlight;
    private int count;
    private final List<Waiting> waiting = new ArrayList<>();

    /** Whom to tell when nothing in flight uses a range. */
    private record Waiting(long first, long last, Runnable then) {}

    IovaUse(int queueSize) {
        inFlight = new VirtioBlkRequest[queueSize];
    }

    void onTaken(VirtioBlkRequest request) {
        request.placeInFlight = count;
        inFlight[count++] = request;
    }

    /** The request touches the guest's memory no more. */
    void onRetired(VirtioBlkRequest request) {
        VirtioBlkRequest last = inFlight[--count];
        inFlight[request.placeInFlight] = last;
        last.placeInFlight = request.placeInFlight;
        request.chain.forgetIovas();
        if (!waiting.isEmpty()) {
            tellThoseWhoWait();
        }
    }

    void whenUnused(long first, long last, Runnable then) {
        if (isUsed(first, last)) {
            waiting.add(new Waiting(first, last, then));
        } else {
            then.run();
        }
    }

    private void tellThoseWhoWait() {
        for (Waiting each : List.copyOf(waiting)) {
            if (!isUsed(each.first, each.last)) {
                waiting.remove(each);
                each.then.run();
            }
        }
    }

    private boolean isUsed(long first, long last) {
        for (int i = 0; i < count; i++) {
            if (inFlight[i].chain.usesIova(first, last)) {
                return true;
            }
        }
        return false;
    }
}
