// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.virtqueue.InflightBlock;
import dev.vublk.vhostuser.virtqueue.InflightRegion;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The control side of one ring: what the front end has said about it, its descriptors (owned), and whether the device runs
 * it. Control loop.
 *
 * <pre>
 *   size, addresses, kick given, enabled          start          running
 *   ------------------------------------------> [queue] -----------------+
 *        ^                                                               |
 *        +---- stop: drained, base remembered <--------------------------+
 *              by GET_VRING_BASE (the kick is forgotten), ENABLE 0, or any change
 *              (with GET_VRING_BASE_INFLIGHT that message leaves some requests in the in-flight region)
 * </pre>
 */
final class Vring implements AutoCloseable {
    private static final int NO_FD = VirtqueueSetup.NO_FD;
    private static final int IN_BAND = VirtqueueSetup.IN_BAND;

    private final int index;
    private final VhostUserDevice device;

    private int size;
    private int base;
    private @Nullable VringAddress addresses;
    private int kickFd = NO_FD;
    private int callFd = NO_FD;
    private int errFd = NO_FD;
    private boolean kickGiven;
    private boolean callGiven;
    private boolean errGiven;

    /** Where no descriptor was given, messages take its place. */
    private boolean inBand;

    private boolean enabled;
    private boolean running;
    private @Nullable DirtyLog log;
    private int logEventFd = NO_FD;

    /** Where a ring that is translated lies, while it runs. */
    private @Nullable RingTranslation translation;

    /** What was last asked of the front end, so that the ring can start; it need not be asked again. */
    private long[] asked = {};

    /** The device ran the ring up to the present base: a kick for what lies behind it may have been taken already. */
    private boolean resumed;

    /** The device ran the ring up to this base, and gave everything back but for what the in-flight region has. */
    private boolean ran;

    private int ranTo;

    Vring(int index, VhostUserDevice device) {
        this.index = index;
        this.device = device;
    }

    int index() {
        return index;
    }

    boolean isRunning() {
        return running;
    }

    /** Whether the front end has said all that a start needs. */
    boolean isReady() {
        return !running && enabled && kickGiven && size != 0 && addresses != null;
    }

    /**
     * Hands the ring to the device, with its place in the in-flight region when there is one.
     *
     * @param pages what translates the ring's addresses and those in it, with nothing {@link #untranslated}; or null
     */
    void start(GuestMemory memory, @Nullable RingPages pages, long features, @Nullable InflightRegion region)
            throws VhostUserProtocolException {
        VringAddress at = addresses;
        if (at == null) {
            throw new IllegalStateException("ring " + index + " has no addresses");
        }
        RingFormat format = RingFormat.of(features);
        format.checkSize(index, size, device.queueSizeMax()); // It may have been said before the features.
        if (pages != null) {
            VringAddress place = pages.place(at, memory, format, size);
            RingTranslation found = RingTranslation.of(pages.table().map(), place, format, size);
            startTranslated(found, memory, pages.table(), features, region);
            return;
        }
        long desc = RingPages.translate(index, memory, at.descUserAddress(), format.descBytes(size));
        long avail = RingPages.translate(index, memory, at.availUserAddress(), format.availBytes(size));
        long used = RingPages.translate(index, memory, at.usedUserAddress(), format.usedBytes(size));
        start(desc, avail, used, memory, null, features, region);
    }

    private void startTranslated(
            RingTranslation found, GuestMemory memory, Iotlb iotlb, long features, @Nullable InflightRegion region)
            throws VhostUserProtocolException {
        translation = found;
        asked = new long[0];
        try {
            start(
                    found.descHostAddress(),
                    found.availHostAddress(),
                    found.usedHostAddress(),
                    found.addTo(memory),
                    iotlb,
                    features,
                    region);
        } finally {
            if (!running) {
                dropTranslation();
            }
        }
    }

    private void dropTranslation() {
        if (translation != null) {
            translation.close();
            translation = null;
        }
    }

    private void start(
            long desc,
            long avail,
            long used,
            GuestMemory memory,
            @Nullable Iotlb iotlb,
            long features,
            @Nullable InflightRegion region)
            throws VhostUserProtocolException {
        RingFormat format = RingFormat.of(features);
        // A region may be mapped at another alignment than the front end has it.
        format.checkAlignment(index, desc, avail, used);
        int startBase = format.baseToStartFrom(index, base, desc, size);
        // A front end that reconnected kicks only for new requests: those already in the ring must be looked for.
        InflightBlock inflight =
                region == null ? null : region.block(index, size, format == RingFormat.PACKED, ran && base != ranTo);
        boolean startNow =
                resumed || format.isInUse(startBase, desc, used, size) || (inflight != null && inflight.isInUse());
        device.startQueue(new VirtqueueSetup(
                index,
                size,
                startBase,
                desc,
                avail,
                used,
                features,
                kickFd,
                callGiven ? callFd : absentFd(),
                errGiven ? errFd : absentFd(),
                startNow,
                memory,
                inflight,
                queueLog(),
                iotlb));
        running = true;
    }

    private int absentFd() {
        return inBand ? IN_BAND : NO_FD;
    }

    /** Takes the ring back from the device, drained. */
    void stop() {
        stop(false);
    }

    private void stop(boolean leaveUnfinished) {
        if (running) {
            base = device.stopQueue(index, leaveUnfinished);
            running = false;
            resumed = true;
            ran = true;
            ranTo = base;
            dropTranslation();
        }
    }

    /** What of the ring's own addresses is not translated yet, as misses; of a ring that is ready. */
    long[] untranslated(RingPages pages, GuestMemory memory, long features) throws VhostUserProtocolException {
        VringAddress at = addresses;
        if (at == null) {
            return new long[0];
        }
        RingFormat format = RingFormat.of(features);
        return RingTranslation.missing(pages.table().map(), pages.place(at, memory, format, size), format, size);
    }

    /** Whether the front end has not been asked for this yet; it has from now on. */
    boolean isToBeAsked(long... misses) {
        boolean isNew = !Arrays.equals(asked, misses);
        asked = misses;
        return isNew;
    }

    /** Whatever was asked is to be asked again. */
    void forgetAsked() {
        asked = new long[0];
    }

    /** Whether the ring runs, or is about to, with addresses of the guest's IOMMU. */
    boolean isTranslated() {
        return translation != null;
    }

    /** Whether the running ring itself lies in that range of the IOMMU's addresses. */
    boolean usesIova(long first, long last) {
        return translation != null && translation.uses(first, last);
    }

    /** The ring cannot run: its memory is refused. */
    void signalError() {
        if (errFd >= 0) {
            EventFd.signal(errFd);
        }
    }

    /** Enables or disables; the caller starts the ring where that makes it ready. */
    void enable(boolean enable) {
        if (!enable) {
            stop();
        }
        enabled = enable;
        forgetAsked();
    }

    void setSize(int newSize, RingFormat format) throws VhostUserProtocolException {
        format.checkSize(index, newSize, device.queueSizeMax());
        if (newSize != size) {
            stop();
            size = newSize;
        }
    }

    void setBase(int newBase, RingFormat format) throws VhostUserProtocolException {
        format.checkBase(index, newBase);
        if (newBase != base) {
            stop();
            resumed = false;
            base = newBase;
        }
    }

    void setAddresses(VringAddress newAddresses, RingFormat format) throws VhostUserProtocolException {
        format.checkAlignment(
                index, newAddresses.descUserAddress(), newAddresses.availUserAddress(), newAddresses.usedUserAddress());
        VringAddress old = addresses;
        if (old == null || !newAddresses.isSameRing(old)) {
            stop();
        }
        addresses = newAddresses;
        forgetAsked();
        if (running && log != null) {
            device.setLog(index, queueLog()); // A migration begins or ends; the ring runs on.
        }
    }

    /** Logs writes from now on, or no more (null); the descriptor is borrowed. Nothing more is written to the old log. */
    void logTo(@Nullable DirtyLog newLog, int newLogEventFd) {
        log = newLog;
        logEventFd = newLogEventFd;
        if (running) {
            device.setLog(index, queueLog());
        }
    }

    private @Nullable QueueLog queueLog() {
        DirtyLog pages = log;
        VringAddress at = addresses;
        if (pages == null || at == null) {
            return null;
        }
        return new QueueLog(pages, at.isLogged() ? at.logGuestAddress() : QueueLog.UNLOGGED, logEventFd);
    }

    /** Whether notifications may go as messages (INBAND_NOTIFICATIONS), from the next start on. */
    void inBand(boolean newInBand) {
        inBand = newInBand;
    }

    boolean signalsErrorsInBand() {
        return inBand && !errGiven;
    }

    /** VRING_KICK: kicks a ring that runs; one that waits for its first kick need not wait any longer. */
    void kick() {
        if (running) {
            device.kickQueue(index);
            return;
        }
        resumed = true; // What it is kicked for lies in the ring when it starts.
        if (!kickGiven) {
            kickGiven = true;
            kickFd = IN_BAND;
        }
    }

    /** Takes the kick descriptor over; -1: the driver never kicks. */
    void setKickFd(int newFd) {
        stop();
        closeFd(kickFd);
        kickFd = nonBlocking(newFd);
        kickGiven = true;
    }

    /** Takes the call descriptor over; -1: the driver polls. */
    void setCallFd(int newFd) {
        nonBlocking(newFd);
        if (running) {
            device.setCallFd(index, newFd);
        }
        closeFd(callFd);
        callFd = newFd;
        callGiven = true;
        if (newFd != NO_FD) {
            // A completion may have been signalled on the descriptor before this one, which nobody read any more:
            // without
            // this the driver would wait for ever after a reconnect. A spurious interrupt does no harm.
            EventFd.signal(newFd);
        }
    }

    /** Takes the error descriptor over; -1: none. */
    void setErrFd(int newFd) {
        nonBlocking(newFd);
        if (running) {
            device.setErrFd(index, newFd);
        }
        closeFd(errFd);
        errFd = newFd;
        errGiven = true;
    }

    /**
     * Stops the ring and forgets what a driver sets up anew. Call and error descriptors stay: they are the front end's, and QEMU
     * gives them once a connection. So does the base: QEMU (7.2) resets the status of a machine that it pauses or moves before it
     * asks for it, and every front end gives a new one with a new ring.
     */
    void reset() {
        stopAndForgetKick(false);
        enabled = false;
        size = 0;
        addresses = null;
        resumed = false;
    }

    /**
     * GET_VRING_BASE: stops the ring until the next SET_VRING_KICK, and says where it stopped.
     *
     * @param leaveUnfinished as for {@link VhostUserDevice#stopQueue}
     */
    int stopAndForgetKick(boolean leaveUnfinished) {
        stop(leaveUnfinished);
        closeFd(kickFd);
        kickFd = NO_FD;
        kickGiven = false;
        return base;
    }

    /**
     * A front end may pass what it likes (Linux UML: sockets, a blocking eventfd): neither a spurious kick nor a full pipe
     * may block a loop.
     */
    private static int nonBlocking(int fd) {
        if (fd != NO_FD) {
            FileDescriptor.setNonBlocking(fd);
        }
        return fd;
    }

    private static void closeFd(int fd) {
        if (fd >= 0) {
            FileDescriptor.close(fd);
        }
    }

    /** Closes the descriptors of a stopped ring. */
    @Override
    public void close() {
        closeFd(kickFd);
        closeFd(callFd);
        closeFd(errFd);
        kickFd = NO_FD;
        callFd = NO_FD;
        errFd = NO_FD;
        kickGiven = false;
    }
}
