// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.emulator.iothread.PassEndListener;
import dev.vublk.emulator.iothread.PassLoop;
import dev.vublk.emulator.iothread.PolledItem;
import dev.vublk.emulator.trace.FlightRecording;
import dev.vublk.emulator.trace.RequestEvent;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.function.IntConsumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * One queue of a disk: on a kick it pops and runs requests, and it publishes and notifies at the end of a pass, or earlier. Runs on its
 * IOThread.
 *
 * <p>A request runs inline; when it waits, its coroutine keeps it, and the queue goes on in another one. A coroutine whose
 * wait is over finishes its request and takes the next before it goes back to the pool.
 */
final class VirtioBlkQueue extends PolledItem implements PassEndListener {
    private static final Logger LOG = LogManager.getLogger(VirtioBlkQueue.class);

    /** Requests taken per pass, so that a busy queue cannot starve the others; any number around this would do. */
    private static final int REQUESTS_PER_PASS = 128;

    /**
     * After so many answers in a pass they are published, and then after each {@link #PUBLISHED_AT_ONCE}: the driver goes on while
     * the rest is worked at. By measurement the null disk is 1.1 (depth 8) to 1.4 times (16 to 64) as fast as with one publication a pass.
     */
    private static final int FIRST_PUBLISHED = 4;

    private static final int PUBLISHED_AT_ONCE = 8;

    private final PassLoop ioThread;
    private final String label;
    private final Virtqueue virtqueue;
    private final VirtioBlkRequestParser parser;
    private final VirtioBlkRequestHandler handler;
    private final boolean mindsReplays;
    private final VirtioBlkCounters counters;
    private final QueueReports reports;

    /** Null unless the driver wants its requests back in order. */
    private final @Nullable CompletionOrder order;

    private final RequestSlots slots;

    private int inFlight;

    /** Requests wait in the ring for memory, until one in flight has ended. */
    private boolean awaitsMemory;

    private final int kickFd;
    private int callFd;
    private int errFd;
    private @Nullable Runnable kickWatch;

    /** Null unless a queue that stops may leave some of them: with an in-flight region, and where no order has to be kept. */
    private final @Nullable UnfinishedRequests unfinished;

    private final boolean isTracked;

    /** Null unless the guest's IOMMU translates. */
    private final @Nullable IovaUse iovaUse;

    /** Whether {@link #order} or {@link #iovaUse} must hear of each request. */
    private final boolean keepsAccount;

    /** What has to be asked for before the next request can be taken; null: nothing. */
    private long @Nullable [] misses;

    private int passBudget = REQUESTS_PER_PASS;
    /** Answers until they are published, unless the pass ends before. */
    private int untilPublication = FIRST_PUBLISHED;

    private boolean atPassEnd;
    private boolean started;
    private boolean breakageReported;
    /** Stopping, with requests of a predecessor that stay in the in-flight region: they wait for translations, or may. */
    private boolean leavesRecovered;

    /** Set by {@link #stop}: nothing more is taken; called with the base when nothing is in flight. */
    private @Nullable IntConsumer whenStopped;

    VirtioBlkQueue(
            PassLoop ioThread,
            String label,
            VirtqueueSetup setup,
            VirtioBlkRequestParser parser,
            VirtioBlkRequestHandler handler,
            VirtioBlkCounters counters,
            QueueReports reports,
            RequestSlots slots) {
        this.ioThread = ioThread;
        this.label = label;
        this.virtqueue = Virtqueue.of(setup);
        this.parser = parser;
        this.handler = handler;
        mindsReplays = handler.mindsReplays();
        this.counters = counters;
        this.reports = reports;
        order = (setup.features() & VirtioFeature.VIRTIO_F_IN_ORDER) != 0 ? new CompletionOrder(setup.size()) : null;
        this.slots = slots;
        isTracked = setup.inflight() != null;
        unfinished = isTracked && order == null ? new UnfinishedRequests(ioThread, handler) : null;
        kickFd = setup.kickFd();
        callFd = setup.callFd();
        errFd = setup.errFd();
        iovaUse = virtqueue.isTranslating() ? new IovaUse(setup.size()) : null;
        keepsAccount = iovaUse != null || order != null;
        started = setup.startNow() || kickFd == VirtqueueSetup.NO_FD;
    }

    PassLoop ioThread() {
        return ioThread;
    }

    RequestSlots slots() {
        return slots;
    }

    /** Begins to look at the ring: now, or on the first kick. When it throws, the queue is as if it had never been. */
    void start() {
        if (kickFd >= 0) {
            kickWatch = ioThread.watchEventFd(kickFd, this::onKick);
        }
        if (started) {
            ioThread.schedule(this);
        }
        if (virtqueue.isBroken()) {
            reportBreakage(); // What was in flight cannot be told.
        }
    }

    /** The driver has kicked, by its eventfd or by a message. */
    void onKick() {
        started = true;
        ioThread.schedule(this);
    }

    void callFd(int newCallFd) {
        callFd = newCallFd;
    }

    void errFd(int newErrFd) {
        errFd = newErrFd;
    }

    void extendMemory(GuestMemory memory) {
        virtqueue.extendMemory(memory);
    }

    void logTo(@Nullable QueueLog newLog) {
        virtqueue.logTo(newLog);
    }

    /** The translations that {@link #takeRequest} asked for are there, but for those that are refused. */
    @SuppressWarnings("ReferenceEquality") // Which array it is tells which question is answered, not what is in it.
    void onTranslated(long[] asked, long... refused) {
        if (asked == misses) { // Or it is an answer to another queue that was here before.
            misses = null;
            virtqueue.refused(refused);
            ioThread.schedule(this);
        }
    }

    /** Calls {@code then} when no request in flight uses I/O virtual addresses of that range, now or later. */
    void whenUnused(long firstIova, long lastIova, Runnable then) {
        if (iovaUse == null) {
            then.run();
        } else {
            iovaUse.whenUnused(firstIova, lastIova, then);
        }
    }

    /**
     * Takes nothing more from the ring; when everything in flight is done and published, calls {@code then} with the next
     * available index and lets go of memory and descriptors. What a predecessor left in flight is in flight, unless it waits for
     * translations: whoever asks for the stop may be the one who does not answer meanwhile.
     *
     * @param leaveUnfinished whether what the kernel has not been given may stay in the in-flight region, if there is one
     */
    void stop(boolean leaveUnfinished, IntConsumer then) {
        whenStopped = then;
        boolean leaves = leaveUnfinished && isTracked;
        if (leaves && unfinished != null) {
            unfinished.leave();
        }
        leavesRecovered = misses != null || leaves;
        misses = null;
        ioThread.stopPolling(this);
        if (kickWatch != null) {
            kickWatch.run();
            kickWatch = null;
        }
        finishStopIfDrained();
    }

    private void finishStopIfDrained() {
        IntConsumer then = whenStopped;
        if (then == null || inFlight > 0 || (virtqueue.hasRecovered() && !leavesRecovered)) {
            return;
        }
        whenStopped = null;
        boolean wasStarted = started;
        started = false;
        awaitsMemory = false;
        publish();
        ioThread.stopPolling(this); // Again: requests that a predecessor had left may have been taken since.
        // Whoever serves the ring next finds a driver that kicks, and the kick for what is in the ring already.
        if (onPollEnd() && wasStarted && kickFd >= 0) {
            EventFd.signal(kickFd);
        }
        callFd = VirtqueueSetup.NO_FD;
        errFd = VirtqueueSetup.NO_FD;
        slots.close();
        LOG.debug("{}: stopped after {}", label, counters);
        then.accept(virtqueue.base());
    }

    @Override
    protected boolean goesOnElsewhere() {
        return true;
    }

    @Override
    protected void run() {
        try {
            takeRequests();
            HostMemory.awaitFault();
        } catch (InternalError e) {
            onMemoryGone(e);
            finishStopIfDrained(); // It may have been thrown after the last request, before that was looked at.
        }
    }

    /** The guest's memory file was truncated under us: neither ring nor buffers can be read or written any more. */
    private void onMemoryGone(InternalError fault) {
        virtqueue.markBroken("guest memory is gone: " + fault.getMessage());
        reportBreakage();
    }

    private void takeRequests() {
        while (started && misses == null && mayTake()) {
            if (passBudget == 0) {
                ioThread.schedule(this);
                return;
            }
            if (!ioThread.canSuspend(this)) {
                return;
            }
            if (!takeRequest()) {
                return;
            }
        }
    }

    /** A queue that stops takes only what a predecessor left, unless that stays where it is. */
    private boolean mayTake() {
        return whenStopped == null || (!leavesRecovered && virtqueue.hasRecovered());
    }

    /** Takes one request and runs it to its end. Returns false when there is none, for now or ever. */
    private boolean takeRequest() {
        if (inFlight == virtqueue.size()) {
            return takeFromFullQueue();
        }
        awaitsMemory = !slots.mayTake(inFlight);
        if (awaitsMemory) {
            return false; // The end of a request in flight takes the next.
        }
        VirtioBlkRequest request = slots.take();
        request.replayed = mindsReplays && virtqueue.hasRecovered(); // Those are given out first.
        int popped = virtqueue.pop(request.chain);
        slots.onFilled(request);
        if (popped == Virtqueue.POPPED) {
            ioThread.pollWhileActive(this);
            passBudget--;
            atPassEnd();
            if (keepsAccount) {
                takeIntoAccount(request);
            }
            inFlight++; // From here on nothing is thrown before its end is provided for.
            runRequest(request);
            return true;
        }
        slots.putBack(request);
        if (popped == Virtqueue.EMPTY) {
            return waitForKick();
        }
        if (popped == Virtqueue.UNTRANSLATED) {
            return waitForTranslation();
        }
        reportBreakage();
        return false;
    }

    /** Asks for what the next request lacks. Kicks mean nothing meanwhile: the ring is looked at when the answer comes. */
    private boolean waitForTranslation() {
        if (whenStopped != null) {
            leavesRecovered = true;
            finishStopIfDrained();
            return false;
        }
        long[] missed = virtqueue.misses();
        misses = missed;
        reports.untranslated(missed);
        return false;
    }

    private void takeIntoAccount(VirtioBlkRequest request) {
        HostMemory.awaitFault();
        if (iovaUse != null) {
            iovaUse.onTaken(request);
        }
        if (order != null) {
            order.onTaken(request);
        }
    }

    /** A driver cannot have more chains in flight than descriptors: if it makes one more available it reuses one. */
    private boolean takeFromFullQueue() {
        if (virtqueue.isBroken()) {
            return false;
        }
        if (!virtqueue.hasAvailable()) {
            return waitForKick();
        }
        virtqueue.markBroken("more chains available than the queue has descriptors");
        reportBreakage();
        return false;
    }

    /** Returns whether something came in while the driver was being told to kick. */
    private boolean waitForKick() {
        if (kickFd == VirtqueueSetup.NO_FD) {
            ioThread.schedule(this); // The driver never kicks: look again in the next pass.
            return false;
        }
        // A polled queue asks for kicks when the loop is about to sleep, in onPollEnd.
        return !isPolled() && virtqueue.requestKicks();
    }

    @Override
    protected boolean poll() {
        try {
            return started && !awaitsMemory && misses == null && virtqueue.hasAvailable();
        } catch (InternalError e) {
            onMemoryGone(e);
            return false;
        }
    }

    @Override
    protected void onFaultWhilePolling() {
        try {
            virtqueue.hasAvailable();
            HostMemory.awaitFault();
        } catch (InternalError e) {
            onMemoryGone(e);
        }
    }

    @Override
    protected void onPollBegin() {
        try {
            if (!virtqueue.isBroken()) {
                virtqueue.suppressKicks();
            }
        } catch (InternalError e) {
            onMemoryGone(e);
        }
    }

    @Override
    protected boolean onPollEnd() {
        try {
            boolean hasWork = !virtqueue.isBroken() && virtqueue.requestKicks() && !awaitsMemory && misses == null;
            HostMemory.awaitFault();
            return hasWork;
        } catch (InternalError e) {
            onMemoryGone(e);
            return false;
        }
    }

    /** May suspend. However the request ends, it is no longer in flight afterwards: a stop must not wait for ever. */
    private void runRequest(VirtioBlkRequest request) {
        try {
            if (FlightRecording.isOn() && RequestEvent.isOn()) {
                carryOutTraced(request);
            } else {
                carryOut(request);
            }
            if (keepsAccount) {
                HostMemory.awaitFault();
            }
        } catch (InternalError e) {
            onMemoryGone(e);
        } catch (Throwable t) {
            onFailure(t);
        }
        if (order == null) {
            retire(request);
        } else {
            request.finished = true;
            returnInOrder(order);
        }
        finishStopIfDrained();
    }

    private void retire(VirtioBlkRequest request) {
        if (iovaUse != null) {
            iovaUse.onRetired(request);
        }
        inFlight--;
        slots.putBack(request);
    }

    /** Returns this request, and what has waited for it, unless it waits for an earlier one itself. */
    private void returnInOrder(CompletionOrder inOrder) {
        for (VirtioBlkRequest next = inOrder.nextReturned(); next != null; next = inOrder.nextReturned()) {
            if (next.answered && !virtqueue.isBroken()) {
                try {
                    answer(next, next.usedBytes);
                    HostMemory.awaitFault();
                } catch (InternalError e) {
                    onMemoryGone(e);
                } catch (RuntimeException e) {
                    onFailure(e); // And it is retired all the same.
                }
            }
            retire(next);
        }
    }

    private void carryOut(VirtioBlkRequest request) {
        int status = parser.parse(request);
        if (request.type != VirtioBlkSpec.VIRTIO_BLK_T_IN) {
            HostMemory.awaitFault(); // Before the disk is changed as no header has said.
        }
        if (status == VirtioBlkRequestParser.NO_STATUS) {
            virtqueue.markBroken("request without room for a status");
            reportBreakage();
            return;
        }
        if (status == VirtioBlkSpec.VIRTIO_BLK_S_OK) {
            status = unfinished == null ? handler.handle(request) : unfinished.handle(request);
        }
        if (status == UnfinishedRequests.LEFT) {
            leave(request);
        } else {
            complete(request, status);
        }
    }

    /** The same, recorded; apart, so that the untraced path stays small. */
    private void carryOutTraced(VirtioBlkRequest request) {
        RequestEvent event = RequestEvent.started();
        carryOut(request);
        event.finished(label, request.type, request.offsetBytes, request.dataBytes, request.status);
    }

    private void complete(VirtioBlkRequest request, int status) {
        request.status = status;
        counters.count(request, status);
        if (virtqueue.isBroken()) {
            return; // A broken ring gets nothing more written.
        }
        HostMemory.putByte(request.statusAddress, (byte) status);
        if (virtqueue.isLogging()) {
            logWrites(request);
        }
        int usedBytes = (int) writtenBytes(request, status);
        if (order != null) {
            request.usedBytes = usedBytes;
            request.answered = true;
            return;
        }
        answer(request, usedBytes);
    }

    private void answer(VirtioBlkRequest request, int usedBytes) {
        virtqueue.pushUsed(request.chain, usedBytes);
        atPassEnd();
        if (--untilPublication == 0) {
            untilPublication = PUBLISHED_AT_ONCE;
            publish();
        }
    }

    /** The request stays in the in-flight region; what it has read in part is in the guest's memory all the same. */
    private void leave(VirtioBlkRequest request) {
        request.status = UnfinishedRequests.LEFT;
        if (virtqueue.isLogging() && !virtqueue.isBroken()) {
            logWrites(request);
        }
    }

    /** Marks what the request may have written, whatever its status: a read that failed has perhaps written part of its data. */
    private void logWrites(VirtioBlkRequest request) {
        virtqueue.logWritten(request.statusAddress, 1);
        long left = dataWritableBytes(request);
        IoVectors buffers = request.chain.buffers();
        for (int i = request.chain.readableCount(); left > 0; i++) {
            long piece = Math.min(left, buffers.length(i));
            virtqueue.logWritten(buffers.base(i), piece);
            left -= piece;
        }
    }

    /**
     * How much of the writable part was written from its start on (virtio 1.2 section 2.7.8.2): the status counts when
     * there is no gap before it.
     */
    private static long writtenBytes(VirtioBlkRequest request, int status) {
        long dataRoom = request.chain.writableBytes() - 1;
        long dataWritten = status == VirtioBlkSpec.VIRTIO_BLK_S_OK ? dataWritableBytes(request) : 0;
        return dataWritten == dataRoom ? dataRoom + 1 : dataWritten;
    }

    /** How much data the request writes to guest memory when it succeeds, from the start of the writable part on. */
    private static long dataWritableBytes(VirtioBlkRequest request) {
        return request.type == VirtioBlkSpec.VIRTIO_BLK_T_IN ? request.dataBytes : request.answerBytes;
    }

    private void atPassEnd() {
        if (!atPassEnd) {
            atPassEnd = true;
            ioThread.atPassEnd(this);
        }
    }

    @Override
    public void onPassEnd() {
        atPassEnd = false;
        passBudget = REQUESTS_PER_PASS;
        untilPublication = FIRST_PUBLISHED;
        publish();
    }

    private void publish() {
        if (virtqueue.isBroken()) {
            return;
        }
        try {
            if (virtqueue.hasUnpublished()) {
                ioThread.onAnswered();
            }
            if (virtqueue.publishUsed()) {
                notifyDriver();
            }
            HostMemory.awaitFault();
        } catch (InternalError e) {
            onMemoryGone(e);
        } catch (RuntimeException e) {
            onFailure(e); // Whoever waits for the queue to stop must not wait for ever.
        }
    }

    private void notifyDriver() {
        if (callFd >= 0) {
            EventFd.signal(callFd);
        } else if (callFd == VirtqueueSetup.IN_BAND) {
            reports.used();
        }
    }

    /** Says once what broke the queue, and tells the front end through the error eventfd. */
    private void reportBreakage() {
        if (breakageReported) {
            return;
        }
        breakageReported = true;
        LOG.warn("{}: queue broken: {}", label, virtqueue.brokenReason());
        if (errFd >= 0) {
            EventFd.signal(errFd);
        }
        reports.broken();
    }

    @Override
    public String toString() {
        return label;
    }

    @Override
    public void onFailure(Throwable failure) {
        LOG.error("{}: queue failed", label, failure);
        virtqueue.markBroken("internal error");
        reportBreakage();
    }
}
