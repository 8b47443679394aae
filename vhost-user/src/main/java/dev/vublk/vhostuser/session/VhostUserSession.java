// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.QueueEvents;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.memory.MappedMemory;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringFd;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.socket.AncillaryFds;
import dev.vublk.vhostuser.socket.BackendRequestChannel;
import dev.vublk.vhostuser.virtqueue.InflightRegion;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * The state of one front end's connection, and one method a message that changes it. Control loop; a method may wait while
 * the device drains a queue.
 *
 * <p>A method throws {@link VhostUserProtocolException} when it refuses; the state is then as it was before, except that
 * rings that had to be stopped for the change may stay so.
 */
final class VhostUserSession implements QueueEvents, AutoCloseable {
    private static final Logger LOGGER = LogManager.getLogger(VhostUserSession.class);

    private static final int NO_FD = -1;

    private final String name;
    private final VhostUserDevice device;
    private final ControlContext control;
    private final FeatureNegotiation features;
    private final DeviceStatus status = new DeviceStatus();
    private final InBandSignals inBandSignals = new InBandSignals();
    private final Vring[] vrings;
    private final Iotlb iotlb = new Iotlb();
    private final IotlbMisses misses;
    private MappedMemory memory = new MappedMemory();
    private @Nullable InflightRegion inflight;
    private RingFormat inflightFormat = RingFormat.UNDECIDED;
    private @Nullable BackendRequestChannel backendRequests;
    private final SessionTurn turn;
    private @Nullable Postcopy postcopy;
    private final DeviceState deviceState = new DeviceState();
    private @Nullable DirtyLog log;
    private int logEventFd = NO_FD;

    /** A ring has been started since the session began, or since the last hand-over. */
    private boolean inUse;

    private boolean warned;

    VhostUserSession(String name, VhostUserDevice device, SessionOptions options, ControlContext control) {
        this.name = requireNonNull(name, "name");
        this.device = requireNonNull(device, "device");
        this.control = requireNonNull(control, "control");
        this.turn = new SessionTurn(control);
        device.attach(this);
        this.features = new FeatureNegotiation(device.deviceFeatures(), device.packedRings(), options);
        this.vrings = new Vring[device.queueCountMax()];
        Arrays.setAll(vrings, i -> new Vring(i, device));
        this.misses = new IotlbMisses(iotlb, features, vrings.length);
    }

    /** Whoever calls any of the methods below takes it. */
    SessionTurn turn() {
        return turn;
    }

    FeatureNegotiation features() {
        return features;
    }

    /** Reports a front end's mistake, once: it must not be able to fill the log. */
    void warn(String message) {
        if (!warned) {
            warned = true;
            LOGGER.warn("{}: front end: {} (further mistakes of this connection are not logged)", name, message);
        } else {
            LOGGER.debug("{}: front end: {}", name, message);
        }
    }

    // ---- features

    void setFeatures(long acked) throws VhostUserProtocolException {
        // QEMU sends them twice, the second time with rings set up: the same again changes nothing.
        boolean loggedAll = features.logsAll();
        boolean changed = acknowledge(acked);
        if (changed) {
            stopAll();
            iotlb.clear();
            forgetInflightOfOtherRings();
            device.featuresAcked(features.acked());
        }
        if (features.logsAll() != loggedAll) {
            logToAll();
        }
        if (features.enableRings()) {
            for (Vring vring : vrings) {
                vring.enable(true);
            }
        }
        startAllReady();
    }

    private boolean acknowledge(long acked) throws VhostUserProtocolException {
        boolean taken = false;
        try {
            boolean changed = features.acknowledge(acked);
            taken = true;
            return changed;
        } finally {
            status.featuresTaken(taken);
        }
    }

    /** With a status field, a front end finds out there that its features were refused (FEATURES_OK). */
    boolean refusesFeaturesByStatus() {
        return features.allows(ProtocolFeature.STATUS);
    }

    void setProtocolFeatures(long acked) throws VhostUserProtocolException {
        features.acknowledgeProtocol(acked);
        boolean inBand = features.allows(ProtocolFeature.INBAND_NOTIFICATIONS);
        if (inBand) {
            LOGGER.info("{}: the front end kicks and is called by messages", name);
        }
        for (Vring vring : vrings) {
            vring.inBand(inBand);
        }
    }

    // ---- reset and status

    /** RESET_DEVICE: everything that the driver set up and chose is forgotten; memory and descriptors stay. */
    void resetDevice() {
        resetRings();
        device.featuresAcked(0);
    }

    /**
     * Status 0 is a reset. But QEMU sends it also when it pauses the machine and goes on later, and then does not tell again
     * that the guest had chosen write-through: so the device keeps that choice, as it does without this message.
     */
    void setStatus(long value) throws VhostUserProtocolException {
        if (status.set(value)) {
            resetRings();
        }
    }

    long status() {
        return status.get();
    }

    private void resetRings() {
        for (Vring vring : vrings) {
            vring.reset();
        }
        handOverIfAllStopped();
        iotlb.clear();
        features.reset();
        logToAll();
    }

    int queueCount() {
        return vrings.length;
    }

    /** RESET_OWNER: deprecated; "disable all rings" is the meaning that the specification leaves to it. */
    void resetOwner() {
        for (Vring vring : vrings) {
            vring.enable(false);
        }
        handOverIfAllStopped();
    }

    void setBackendRequestFd(AncillaryFds fds) throws VhostUserProtocolException {
        int fd = takeSignalFd(fds);
        closeBackendRequests();
        BackendRequestChannel channel = new BackendRequestChannel(fd, control);
        backendRequests = channel;
        inBandSignals.useChannel(channel);
        if (features.offersTranslation()) {
            misses.useChannel(channel.duplicate());
            control.spawn(misses::askAll);
        }
    }

    /** Tells the front end to read the configuration again; best effort. Returns whether the message went out. */
    boolean notifyConfigChanged() {
        return backendRequests != null && backendRequests.send(BackendRequest.CONFIG_CHANGE_MSG);
    }

    @Override
    public void onUsed(int queueIndex) {
        inBandSignals.call(queueIndex);
    }

    @Override
    public void onBroken(int queueIndex) {
        if (vrings[queueIndex].signalsErrorsInBand()) {
            inBandSignals.error(queueIndex);
        }
        if (status.breaks() && features.allows(ProtocolFeature.STATUS)) {
            notifyConfigChanged(); // Virtio 1.2 section 2.1.2: the driver then finds DEVICE_NEEDS_RESET.
        }
    }

    // ---- configuration space

    /** The bytes asked for, exactly as many; zero beyond the device's fields. */
    byte[] readConfig(ConfigSpaceAccess access) throws VhostUserProtocolException {
        access.check();
        int offset = access.effectiveOffsetBytes();
        return Arrays.copyOfRange(
                Arrays.copyOf(device.configSpace(), ConfigSpaceAccess.CONFIG_SIZE_BYTES_MAX),
                offset,
                offset + access.sizeBytes());
    }

    void writeConfig(ConfigSpaceAccess access, byte[] data) throws VhostUserProtocolException {
        access.check();
        if (!device.writeConfigSpace(access.effectiveOffsetBytes(), data)) {
            throw new VhostUserProtocolException(
                    "configuration bytes at " + access.offsetBytes() + "+" + access.sizeBytes() + " are not writable");
        }
    }

    // ---- memory

    /** The new regions are mapped first: when that fails, the old ones go on. */
    void setMemoryTable(MemoryTable given, AncillaryFds fds) throws VhostUserProtocolException {
        MemoryTable table = given.map(this::addressed);
        if (fds.count() != table.regions().size()) {
            throw new VhostUserProtocolException(
                    "memory table of " + table.regions().size() + " regions with " + fds.count() + " descriptors");
        }
        MappedMemory replaced = MappedMemory.map(table, fds::borrow);
        MappedMemory old = memory;
        stopAll();
        leavePages(old.mappings());
        memory = replaced;
        old.close();
        iotlb.rebase(memory.snapshot());
        expectPostcopyAck();
        startAllAfterMemoryChange();
    }

    /** With GPA_ADDRESSES nothing is said in user addresses: a region's own has no meaning, and the guest's takes its place. */
    private MemoryRegionDescription addressed(MemoryRegionDescription region) {
        return features.allows(ProtocolFeature.GPA_ADDRESSES) ? region.withUserAddress(region.guestAddress()) : region;
    }

    void addMemoryRegion(MemoryRegionDescription given, AncillaryFds fds) throws VhostUserProtocolException {
        memory.add(addressed(given), fds.borrow(0));
        expectPostcopyAck();
        if (anyRunning()) {
            device.extendMemory(memory.snapshot());
        }
        startAllAfterMemoryChange();
    }

    void removeMemoryRegion(MemoryRegionDescription given) throws VhostUserProtocolException {
        MemoryRegionDescription region = addressed(given);
        if (!memory.contains(region)) {
            throw new VhostUserProtocolException(region + " is not there to be removed");
        }
        stopAll();
        leavePages(List.of(memory.mapping(region)));
        memory.remove(region);
        iotlb.rebase(memory.snapshot());
        startAllAfterMemoryChange();
    }

    /** A ring whose memory has gone stays stopped: the memory message itself was right. */
    private void startAllAfterMemoryChange() {
        for (Vring vring : vrings) {
            try {
                startIfReady(vring);
            } catch (VhostUserProtocolException e) {
                warn(e.reason());
            }
        }
    }

    // ---- memory that comes late

    /** Returns the descriptors of which the front end gets duplicates: one, or none when it cannot be. */
    int[] advisePostcopy() {
        if (isPostcopyListening()) {
            warn("POSTCOPY_ADVISE in the middle of a migration");
            return new int[0];
        }
        closePostcopy();
        Postcopy advised = Postcopy.advise(control, turn);
        if (advised == null) {
            return new int[0];
        }
        postcopy = advised;
        return new int[] {advised.userFaultFd()};
    }

    /** Returns whether memory may come late from now on. */
    boolean listenPostcopy() {
        if (postcopy == null || memory.snapshot().regionCount() > 0) {
            warn("POSTCOPY_LISTEN without an advice, or with memory already there");
            return false;
        }
        postcopy.listen();
        return true;
    }

    /** All pages are there: the rings go on as any others. Returns whether any were missing before. */
    boolean endPostcopy() {
        if (!isPostcopyListening()) {
            warn("POSTCOPY_END of nothing");
            return false;
        }
        stopAll();
        closePostcopy();
        startAllAfterMemoryChange();
        return true;
    }

    private void closePostcopy() {
        if (postcopy != null) {
            postcopy.close();
            postcopy = null;
            forgetAsked();
        }
    }

    boolean isPostcopyListening() {
        return postcopy != null && postcopy.isListening();
    }

    private void expectPostcopyAck() {
        if (postcopy != null && postcopy.isListening()) {
            postcopy.expectAck();
        }
    }

    boolean awaitsPostcopyAck() {
        return postcopy != null && postcopy.awaitsAck();
    }

    /** The front end is ready to bring what is missing in the memory that it has given. */
    void acknowledgePostcopyMemory() throws VhostUserProtocolException {
        if (postcopy != null) {
            postcopy.acknowledge(memory.mappings());
            startAllAfterMemoryChange();
        }
    }

    /** Where memory lies here, which the front end has to know to find what a fault is about. */
    MemoryTable memoryBases(MemoryTable given) {
        return given.map(this::withHostAddress);
    }

    MemoryRegionDescription withHostAddress(MemoryRegionDescription given) {
        return given.withUserAddress(memory.mapping(addressed(given)).hostAddress());
    }

    /** Nothing waits for pages of mappings that are about to go. All rings are stopped. */
    private void leavePages(List<FileMapping> mappings) {
        if (postcopy != null) {
            postcopy.forget(mappings);
            forgetAsked();
        }
    }

    private void forgetAsked() {
        for (Vring vring : vrings) {
            vring.forgetAsked();
        }
    }

    private boolean waitsForPages() {
        return !features.translates() && isPostcopyListening();
    }

    private void waitForPages(long[] missed, Consumer<long[]> answered) {
        Objects.requireNonNull(postcopy, "nothing comes late").ask(memory.snapshot(), missed, answered);
    }

    /** What rings are started with, and ask: the guest's IOMMU, or what has come of its memory; null for neither. */
    private @Nullable RingPages ringPages() {
        if (features.translates()) {
            return new RingPages(iotlb, true);
        }
        return postcopy != null && postcopy.isListening() ? new RingPages(postcopy.present(), false) : null;
    }

    /** What the ring lacks has come: it can start now. */
    private void onCome(Vring vring, long... refused) {
        if (refused.length > 0) {
            refuseRing(vring, "the memory of the ring does not come");
            return;
        }
        vring.forgetAsked();
        try {
            startIfReady(vring);
        } catch (VhostUserProtocolException e) {
            warn(e.reason());
        }
    }

    // ---- the guest's IOMMU

    /** VHOST_USER_IOTLB_MSG. An invalidation returns when nothing uses what has become invalid. */
    void takeIotlbMessage(IotlbMessage message) throws VhostUserProtocolException {
        switch (message.type()) {
            case IotlbMessage.UPDATE -> {
                iotlb.update(message, memory.snapshot());
                misses.onUpdate();
                startAllAfterMemoryChange();
            }
            case IotlbMessage.INVALIDATE -> {
                if (message.wraps()) {
                    throw new VhostUserProtocolException("IOTLB invalidation of an impossible range");
                }
                invalidate(message.iova(), message.lastIova());
            }
            default -> throw new VhostUserProtocolException("IOTLB message of type " + message.type());
        }
    }

    private void invalidate(long first, long last) {
        iotlb.invalidate(first, last);
        for (Vring vring : vrings) {
            if (vring.usesIova(first, last)) {
                vring.stop(); // An IOMMU's invalidation often reaches further than what has changed: it starts again.
            } else if (vring.isRunning()) {
                device.awaitUnused(vring.index(), first, last);
            }
        }
        startAllAfterMemoryChange();
    }

    @Override
    public void onUntranslated(int queueIndex, long[] missed) {
        if (!vrings[queueIndex].isTranslated()) {
            return; // It has stopped meanwhile, and its ring may be what is being asked for now.
        }
        if (waitsForPages()) {
            waitForPages(missed, refused -> device.translated(queueIndex, missed, refused));
            return;
        }
        misses.ask(queueIndex, missed, refused -> device.translated(queueIndex, missed, refused));
        misses.askAll();
    }

    /** Whether the ring's own addresses are translated, where they have to be; asks for them if not. */
    private boolean isTranslated(Vring vring) throws VhostUserProtocolException {
        RingPages pages = ringPages();
        if (pages == null) {
            return true;
        }
        long[] missed = vring.untranslated(pages, memory.snapshot(), features.acked());
        if (missed.length == 0) {
            return true;
        }
        if (vring.isToBeAsked(missed)) {
            if (waitsForPages()) {
                waitForPages(missed, refused -> onCome(vring, refused));
                return false;
            }
            misses.ask(vring.index(), missed, refused -> onAnswered(vring, refused));
            control.spawn(misses::askAll); // Not here: the front end may be waiting for what we do now.
        }
        return false;
    }

    private void refuseRing(Vring vring, String reason) {
        warn("ring " + vring.index() + ": " + reason);
        vring.signalError();
        onBroken(vring.index());
    }

    /** What was there has started the ring already, when it came. */
    private void onAnswered(Vring vring, long... refused) {
        if (refused.length > 0) {
            refuseRing(vring, "the guest's IOMMU refuses the device its ring");
            return;
        }
        vring.forgetAsked();
        try {
            if (isComplete(vring)) {
                isTranslated(vring);
            }
        } catch (VhostUserProtocolException e) {
            warn(e.reason());
        }
    }

    // ---- requests in flight

    /** How large a region has to be for the queues that a front end names. */
    InflightDescription describeInflight(InflightDescription asked) throws VhostUserProtocolException {
        if (asked.queueCount() < 1
                || asked.queueCount() > vrings.length
                || asked.queueSize() < 1
                || asked.queueSize() > device.queueSizeMax()) {
            throw new VhostUserProtocolException("GET_INFLIGHT_FD for " + asked.queueCount() + " queues of "
                    + asked.queueSize() + "; " + vrings.length + " of " + device.queueSizeMax() + " are possible");
        }
        return new InflightDescription(
                InflightRegion.sizeBytes(asked.queueCount(), asked.queueSize(), mayUsePackedRings()),
                0,
                asked.queueCount(),
                asked.queueSize());
    }

    /** Uses a region that the front end kept from an earlier connection, or has just been given. */
    void setInflight(InflightDescription description, AncillaryFds fds) throws VhostUserProtocolException {
        InflightRegion replaced =
                InflightRegion.map(description, fds.borrow(0), features.ringFormat() == RingFormat.PACKED);
        stopAll();
        closeInflight();
        inflight = replaced;
        inflightFormat = features.ringFormat();
        startAllReady();
    }

    /** Blocks for packed rings have room for split ones. */
    private boolean mayUsePackedRings() {
        return switch (features.ringFormat()) {
            case PACKED -> true;
            case SPLIT -> false;
            case UNDECIDED -> (features.offered() & VirtioFeature.VIRTIO_F_RING_PACKED) != 0;
        };
    }

    /** What is in a region says nothing of rings of the other kind; a front end whose driver changes kinds gives a new one. */
    private void forgetInflightOfOtherRings() {
        if (inflightFormat == RingFormat.UNDECIDED) {
            inflightFormat = features.ringFormat();
        } else if (inflightFormat != features.ringFormat()) {
            closeInflight();
        }
    }

    private void closeInflight() {
        if (inflight != null) {
            inflight.close();
            inflight = null;
        }
    }

    // ---- migration

    /** The new log is mapped first; the old one goes when no ring writes to it any more. */
    void setLogBase(LogRegion region, AncillaryFds fds) throws VhostUserProtocolException {
        DirtyLog replaced = DirtyLog.map(region, fds.borrow(0));
        DirtyLog old = log;
        log = replaced;
        logToAll();
        if (old != null) {
            old.close();
        }
    }

    /** An eventfd that is written when something has been logged. */
    void setLogFd(AncillaryFds fds) throws VhostUserProtocolException {
        int old = logEventFd;
        logEventFd = takeSignalFd(fds);
        FileDescriptor.setNonBlocking(logEventFd);
        logToAll();
        closeFd(old);
    }

    private void logToAll() {
        for (Vring vring : vrings) {
            vring.logTo(activeLog(), logEventFd);
        }
    }

    /** The log while writes are to be logged, or null. QEMU may ask for logging before it has given a log. */
    private @Nullable DirtyLog activeLog() {
        return features.logsAll() ? log : null;
    }

    /** Returns the answer to SET_DEVICE_STATE_FD. */
    long setDeviceStateFd(DeviceStateTransfer transfer, AncillaryFds fds) {
        return deviceState.begin(transfer, fds.take(0), anyRunning());
    }

    /** Returns the answer to CHECK_DEVICE_STATE. */
    long checkDeviceState() {
        return deviceState.check();
    }

    // ---- rings

    void setVringSize(VringState state) throws VhostUserProtocolException {
        Vring vring = vring(state.index());
        vring.setSize(state.num(), features.ringFormat());
        startIfReady(vring);
    }

    void setVringBase(VringState state) throws VhostUserProtocolException {
        Vring vring = vring(state.index());
        vring.setBase(state.num(), features.ringFormat());
        startIfReady(vring);
    }

    void setVringAddresses(VringAddress addresses) throws VhostUserProtocolException {
        Vring vring = vring(addresses.index());
        vring.setAddresses(addresses, features.ringFormat());
        startIfReady(vring);
    }

    int vringBase(VringState state) throws VhostUserProtocolException {
        Vring vring = vring(state.index());
        int base = vring.stopAndForgetKick(features.allows(ProtocolFeature.GET_VRING_BASE_INFLIGHT));
        // QEMU tells of nothing that becomes invalid while the device is stopped.
        iotlb.clear();
        handOverIfAllStopped();
        return base;
    }

    /**
     * All rings stopped by the front end's wish in the middle of a migration: that is how a guest leaves. (It may also be a
     * guest that resets itself; then its rings come back.)
     */
    private void handOverIfAllStopped() {
        if (inUse && activeLog() != null && !anyRunning()) {
            inUse = false;
            device.handOver();
        }
    }

    private boolean anyRunning() {
        for (Vring vring : vrings) {
            if (vring.isRunning()) {
                return true;
            }
        }
        return false;
    }

    /** VRING_KICK. */
    void kickVring(VringState state) throws VhostUserProtocolException {
        if (state.num() != 0) {
            throw new VhostUserProtocolException(
                    "VRING_KICK with " + Integer.toUnsignedLong(state.num()) + ", which is reserved");
        }
        Vring vring = vring(state.index());
        vring.kick();
        startIfReady(vring);
    }

    void setVringKick(VringFd which, AncillaryFds fds) throws VhostUserProtocolException {
        Vring vring = vring(which.index());
        vring.setKickFd(takeFd(which, fds));
        startIfReady(vring);
    }

    void setVringCall(VringFd which, AncillaryFds fds) throws VhostUserProtocolException {
        vring(which.index()).setCallFd(takeFd(which, fds));
    }

    void setVringErr(VringFd which, AncillaryFds fds) throws VhostUserProtocolException {
        vring(which.index()).setErrFd(takeFd(which, fds));
    }

    void enableVring(VringState state) throws VhostUserProtocolException {
        if (state.num() != 0 && state.num() != 1) {
            throw new VhostUserProtocolException("SET_VRING_ENABLE with " + Integer.toUnsignedLong(state.num()));
        }
        Vring vring = vring(state.index());
        vring.enable(state.num() == 1);
        startIfReady(vring);
        if (state.num() == 0) {
            handOverIfAllStopped();
        }
    }

    private Vring vring(int index) throws VhostUserProtocolException {
        if (index < 0 || index >= vrings.length) {
            throw new VhostUserProtocolException(
                    "ring " + Integer.toUnsignedLong(index) + " of a device with " + vrings.length);
        }
        return vrings[index];
    }

    /** The descriptor of a ring message, or -1 with the NOFD bit (a descriptor sent all the same is not ours to use). */
    private static int takeFd(VringFd which, AncillaryFds fds) throws VhostUserProtocolException {
        if (!which.hasFd()) {
            return -1;
        }
        if (fds.count() != 1) {
            throw new VhostUserProtocolException("ring " + which.index() + " announced a descriptor, but none came");
        }
        return takeSignalFd(fds);
    }

    /**
     * A descriptor that loops read and write. Files and devices are refused: they do not care for O_NONBLOCK, so whoever serves
     * one (a file system in user space, a disk) could stop a loop, with all the disks on it.
     */
    private static int takeSignalFd(AncillaryFds fds) throws VhostUserProtocolException {
        FileStatus status = FileStatus.knownOfDescriptor(fds.borrow(0));
        if (status == null || !status.isSignalOrStream()) {
            throw new VhostUserProtocolException("a descriptor to signal that is neither eventfd, pipe nor socket");
        }
        return fds.take(0);
    }

    private void startAllReady() throws VhostUserProtocolException {
        for (Vring vring : vrings) {
            startIfReady(vring);
        }
    }

    /** Before the first features and the first memory a ring waits; both may come after it. */
    private void startIfReady(Vring vring) throws VhostUserProtocolException {
        if (isComplete(vring) && isTranslated(vring)) {
            vring.start(memory.snapshot(), ringPages(), features.acked(), inflight);
            inUse = true;
        }
    }

    private boolean isComplete(Vring vring) {
        return vring.isReady() && features.areAcked() && memory.snapshot().regionCount() > 0 && !awaitsPostcopyAck();
    }

    private void stopAll() {
        for (Vring vring : vrings) {
            vring.stop();
        }
    }

    // ---- end

    /** Stops all rings, then gives everything back. */
    @Override
    public void close() {
        turn.take();
        try {
            closeInTurn();
        } finally {
            turn.release();
        }
    }

    private void closeInTurn() {
        reportTranslation();
        try {
            stopAllAtEnd();
            leavePages(memory.mappings());
            closePostcopy();
            memory.close();
            if (log != null) {
                log.close();
            }
            closeFd(logEventFd);
            closeInflight();
            for (Vring vring : vrings) {
                vring.close();
            }
        } finally {
            deviceState.close();
            misses.close();
            closeBackendRequests();
            device.close();
        }
    }

    /**
     * Stops every ring, even when one fails to. That one may still touch memory and descriptors: the exception then keeps
     * the caller from pulling them away under it; they are leaked instead.
     */
    private void stopAllAtEnd() {
        IllegalStateException failure = null;
        for (Vring vring : vrings) {
            try {
                vring.stop();
            } catch (RuntimeException e) {
                failure = new IllegalStateException(
                        "ring " + vring.index() + " did not stop; its memory stays mapped", e);
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    private void reportTranslation() {
        if (iotlb.updates() > 0) {
            LOGGER.info(
                    "{}: the guest's IOMMU was asked for {} translations; {} updates, {} invalidations",
                    name,
                    misses.count(),
                    iotlb.updates(),
                    iotlb.invalidations());
        }
    }

    private static void closeFd(int fd) {
        if (fd != NO_FD) {
            FileDescriptor.close(fd);
        }
    }

    private void closeBackendRequests() {
        if (backendRequests != null) {
            inBandSignals.useChannel(null);
            backendRequests.close();
            backendRequests = null;
        }
    }
}
