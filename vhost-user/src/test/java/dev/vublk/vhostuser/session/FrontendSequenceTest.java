// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The exact message orders of real front ends. */
final class FrontendSequenceTest {
    private static final long QEMU_FEATURES = 1L << 32 | 1L << 30 | 1L << 29 | 1L << 28 | 1L << 11 | 1L << 9 | 1L << 6;
    private static final long SEABIOS_FEATURES = 1L << 32 | 1L << 30 | 1L << 6;
    private static final long UML_PROTOCOL_FEATURES =
            ProtocolFeature.REPLY_ACK.mask() | ProtocolFeature.BACKEND_REQ.mask() | ProtocolFeature.CONFIG.mask();

    @TempDir
    private Path directory;

    // ---- QEMU: SeaBIOS drives the disk first, then Linux, then the guest is reset

    @Test
    void shouldServeQemuThroughFirmwareAndLinux() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory);
                Pipe backendRequests = new Pipe();
                FrontendMemory low = FrontendMemory.create(0, 0xa0000)) {
            VhostUserFrontend qemu = session.frontend;
            RecordingDevice device = session.device;

            // vhost_user_backend_init, vhost_dev_init
            assertThat(qemu.getFeatures() & QEMU_FEATURES).isEqualTo(QEMU_FEATURES);
            qemu.setProtocolFeatures(qemu.getProtocolFeatures());
            assertThat(qemu.getQueueNum()).isGreaterThanOrEqualTo(RecordingDevice.QUEUES);
            assertThat(qemu.getMaxMemSlots()).isEqualTo(509);
            assertThat(qemu.needReply(true).setBackendReqFd(backendRequests.writeFd()))
                    .isTrue();
            qemu.needReply(false).setOwner();
            qemu.getFeatures();
            for (int i = 0; i < RecordingDevice.QUEUES; i++) {
                qemu.setVringCall(i, session.eventFd());
                qemu.setVringErr(i, session.eventFd());
            }
            assertThat(qemu.getConfig(0, 57)).hasSize(57);
            session.assertAlive();
            assertThat(device.calls).isEmpty();

            // SeaBIOS: few features, one queue.
            qemuStart(session, SEABIOS_FEATURES, new int[] {0}, low, session.memory);
            assertThat(device.calls).containsExactly("features " + Long.toHexString(SEABIOS_FEATURES), "start 0");
            assertThat(device.lastSetup().startNow()).isFalse();
            device.basesAtStop.put(0, 812);
            qemuStop(session, new int[] {812});
            assertThat(device.running).isEmpty();
            device.calls.clear();

            // Linux: all features, all queues, rings elsewhere and from zero.
            session.backend.server().notifyConfigChanged();
            qemuStart(session, QEMU_FEATURES, new int[] {0, 0, 0, 0});
            assertThat(device.calls)
                    .containsExactly(
                            "features " + Long.toHexString(QEMU_FEATURES), "start 0", "start 1", "start 2", "start 3");
            assertThat(device.setupOf(0).startNow()).isFalse();
            assertThat(device.setupOf(3).features()).isEqualTo(QEMU_FEATURES);

            // stop and cont: from where it was.
            IntStream.range(0, 4).forEach(i -> device.basesAtStop.put(i, 100 + i));
            qemuStop(session, new int[] {100, 101, 102, 103});
            qemuStart(session, QEMU_FEATURES, new int[] {100, 101, 102, 103});
            assertThat(device.setupOf(2).base()).isEqualTo(102);
            assertThat(device.setupOf(2).startNow()).isTrue();
        }
    }

    /** vhost_user_blk_start: prepare_inflight sends the features once, vhost_dev_start once more. */
    private static void qemuStart(SessionUnderTest session, long features, int[] bases, FrontendMemory... newMemory)
            throws IOException {
        VhostUserFrontend qemu = session.frontend;
        qemu.needReply(false).setFeatures(features);
        qemu.setFeatures(features);
        qemu.needReply(true);
        for (FrontendMemory region : newMemory) {
            assertThat(qemu.addMemReg(region)).isTrue();
        }
        qemu.needReply(false);
        for (int i = 0; i < bases.length; i++) {
            qemu.setVringNum(i, SessionUnderTest.RING_SIZE);
            qemu.setVringBase(i, bases[i]);
            qemu.needReply(true);
            assertThat(session.setVringAddr(i)).isTrue();
            qemu.needReply(false);
            qemu.setVringKick(i, session.eventFd());
            qemu.setVringCall(i, session.eventFd());
        }
        qemu.needReply(true);
        for (int i = 0; i < bases.length; i++) {
            assertThat(qemu.setVringEnable(i, true)).isTrue();
        }
        qemu.needReply(false);
    }

    private static void qemuStop(SessionUnderTest session, int[] expectedBases) throws IOException {
        session.frontend.needReply(true);
        for (int i = 0; i < expectedBases.length; i++) {
            assertThat(session.frontend.setVringEnable(i, false)).isTrue();
        }
        session.frontend.needReply(false);
        for (int i = 0; i < expectedBases.length; i++) {
            assertThat(session.frontend.getVringBase(i)).isEqualTo(expectedBases[i]);
        }
    }

    /** The back end was restarted under a running guest: QEMU gives the used index as base, and kicks nothing. */
    @Test
    void shouldLookAtTheRingsOfAQemuThatReconnects() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setProtocolFeatures(session.frontend.getProtocolFeatures());
            for (int i = 0; i < 2; i++) {
                HostMemory.putU16(session.used(i) + 2, 4000 + i);
            }
            qemuStart(session, QEMU_FEATURES, new int[] {4000, 4001}, session.memory);
            assertThat(session.device.setupOf(1).base()).isEqualTo(4001);
            assertThat(session.device.setupOf(0).startNow()).isTrue();
            assertThat(session.device.setupOf(1).startNow()).isTrue();
        }
    }

    /** Without CONFIGURE_MEM_SLOTS QEMU sends one table; it does so again when memory is plugged in. */
    @Test
    void shouldServeAQemuThatSendsWholeTables() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory);
                FrontendMemory plugged = FrontendMemory.create(0x1_0000_0000L, 1 << 20)) {
            session.frontend.setProtocolFeatures(
                    session.frontend.getProtocolFeatures() & ~ProtocolFeature.CONFIGURE_MEM_SLOTS.mask());
            session.frontend.setMemTable(session.memory);
            qemuStart(session, QEMU_FEATURES, new int[] {0});
            session.device.basesAtStop.put(0, 31);
            session.frontend.needReply(true);
            assertThat(session.frontend.setMemTable(session.memory, plugged)).isTrue();
            assertThat(session.device.setupOf(0).base()).isEqualTo(31);
            assertThat(session.device.setupOf(0).memory().regionCount()).isEqualTo(2);
        }
    }

    // ---- Linux UML: NEED_REPLY on everything, and rebinding without GET_VRING_BASE

    @Test
    void shouldServeLinuxUmlThroughARebind() throws Exception {
        long reservedBytes = 0x65_4000;
        try (SessionUnderTest session = new SessionUnderTest(directory);
                Pipe backendRequests = new Pipe();
                FrontendMemory physmem = FrontendMemory.create(reservedBytes, 1 << 20, reservedBytes)) {
            VhostUserFrontend uml = session.frontend;
            // vhost_user_init
            uml.setOwner();
            uml.getFeatures();
            long protocolFeatures = uml.getProtocolFeatures() & UML_PROTOCOL_FEATURES;
            assertThat(protocolFeatures).isEqualTo(UML_PROTOCOL_FEATURES);
            uml.needReply(true);
            assertThat(uml.setProtocolFeatures(protocolFeatures)).isTrue();
            assertThat(uml.setBackendReqFd(backendRequests.writeFd())).isTrue();

            umlProbe(session, physmem);
            assertThat(session.device.setupOf(0).startNow()).isFalse();
            session.device.basesAtStop.put(0, 1234);

            // vu_del_vqs: no GET_VRING_BASE.
            assertThat(uml.setVringEnable(0, false)).isTrue();
            uml.getFeatures();
            assertThat(session.device.running).isEmpty();
            HostMemory.fill(physmem.hostAddress(), 0x10000, (byte) 0);

            umlProbe(session, physmem);
            assertThat(session.device.setupOf(0).base()).isZero();
            assertThat(session.device.setupOf(0).startNow()).isFalse();
        }
    }

    private static void umlProbe(SessionUnderTest session, FrontendMemory physmem) throws Exception {
        VhostUserFrontend uml = session.frontend;
        for (int size : new int[] {8, 12, 16, 24, 28, 33, 36, 60}) {
            assertThat(uml.getConfig(0, size)).hasSize(size);
        }
        assertThat(uml.setFeatures(QEMU_FEATURES)).isTrue();

        // User addresses are guest addresses; the message has room for a second region.
        ByteBuffer table = Wire.allocate(8 + 2 * 32).putInt(1).putInt(0);
        long base = physmem.guestAddress();
        new MemoryRegionDescription(base, physmem.sizeBytes(), base, base).encode(table);
        assertThat(uml.set(FrontendRequest.SET_MEM_TABLE, table.clear(), physmem.fd()))
                .isTrue();

        try (Pipe call = new Pipe()) {
            assertThat(uml.setVringCall(0, call.writeFd())).isTrue();
            assertThat(call.read(8)).isEqualTo(new byte[] {1, 0, 0, 0, 0, 0, 0, 0});
            assertThat(uml.setVringNum(0, 256)).isTrue();
            assertThat(uml.setVringBase(0, 0)).isTrue();
            VringAddress address = new VringAddress(0, 0, base, base + 0x2000, base + 0x1000, -1L);
            assertThat(uml.set(FrontendRequest.SET_VRING_ADDR, address.encode()))
                    .isTrue();
            int kick = session.eventFd();
            assertThat(uml.setVringKick(0, kick)).isTrue();
            assertThat(uml.setVringEnable(0, true)).isTrue();

            HostMemory.putInt(physmem.hostAddress() + 0x2000 + 4, 0x1234567);
            assertThat(HostMemory.getInt(session.device.setupOf(0).usedHostAddress() + 4))
                    .isEqualTo(0x1234567);
            EventFd.signal(session.device.setupOf(0).callFd());
            assertThat(call.read(8)).hasSize(8);
        }
    }

    // ---- front ends on rust-vmm (Cloud Hypervisor, Firecracker)

    @Test
    void shouldServeCloudHypervisor() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            VhostUserFrontend hypervisor = session.frontend;
            hypervisor.setOwner();
            long features = hypervisor.getFeatures() & QEMU_FEATURES;
            hypervisor.setFeatures(features);
            hypervisor.setProtocolFeatures(hypervisor.getProtocolFeatures());
            hypervisor.needReply(true);
            assertThat(hypervisor.getQueueNum()).isEqualTo(RecordingDevice.QUEUES);
            assertThat(hypervisor.getConfig(0x100, 60)).isEqualTo(session.device.config);
            assertThat(hypervisor.getConfig(0, 60)).isEqualTo(session.device.config);

            assertThat(hypervisor.setFeatures(features)).isTrue();
            assertThat(hypervisor.setMemTable(session.memory)).isTrue();
            for (int i = 0; i < 2; i++) {
                assertThat(hypervisor.setVringNum(i, SessionUnderTest.RING_SIZE))
                        .isTrue();
                assertThat(session.setVringAddr(i)).isTrue();
                assertThat(hypervisor.setVringBase(i, 0)).isTrue();
                assertThat(hypervisor.setVringCall(i, session.eventFd())).isTrue();
                assertThat(hypervisor.setVringKick(i, session.eventFd())).isTrue();
                assertThat(hypervisor.setVringEnable(i, true)).isTrue();
            }
            assertThat(session.device.running).containsOnlyKeys(0, 1);
            // The guest toggles its write cache: flag 1 here.
            assertThat(hypervisor.setConfig(RecordingDevice.WCE_OFFSET, 1, (byte) 0))
                    .isTrue();
        }
    }

    @Test
    void shouldServeAFrontEndWithoutProtocolFeatures() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setOwner();
            session.frontend.setFeatures(1L << 32 | 1L << 29);
            session.frontend.setMemTable(session.memory);
            session.frontend.setVringNum(0, SessionUnderTest.RING_SIZE);
            session.setVringAddr(0);
            session.frontend.setVringBase(0, 0);
            session.frontend.setVringCall(0, session.eventFd());
            session.frontend.setVringKick(0, session.eventFd());
            session.assertAlive();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }
}
