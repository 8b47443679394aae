// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The bytes of headers and payloads, checked against the layouts of the specification written out by hand. */
final class ProtocolRecordsTest {
    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    /** These tests spell bytes out for the machines that vhost-user is used on. */
    @Test
    void shouldRunOnALittleEndianMachine() {
        assertThat(ByteOrder.nativeOrder()).isEqualTo(ByteOrder.LITTLE_ENDIAN);
    }

    @Test
    void shouldEncodeAndDecodeAHeader() throws Exception {
        ByteBuffer buffer = Wire.allocate(12);
        MessageHeader header = new MessageHeader(5, 1 | 8, 0x48);
        header.encode(buffer);
        assertThat(bytes(buffer.flip())).containsExactly(5, 0, 0, 0, 9, 0, 0, 0, 0x48, 0, 0, 0);
        assertThat(MessageHeader.decode(buffer.rewind())).isEqualTo(header);
        assertThat(header.needsReply()).isTrue();
        assertThat(header.isReply()).isFalse();
        assertThat(header.reply(8)).isEqualTo(new MessageHeader(5, 1 | 4, 8));
    }

    @Test
    void shouldRefuseAHeaderOfAnotherVersionOrWithANegativeSize() {
        ByteBuffer version2 = Wire.allocate(12).putInt(1).putInt(2).putInt(0).flip();
        assertThatThrownBy(() -> MessageHeader.decode(version2)).hasMessageContaining("version 2");
        ByteBuffer huge = Wire.allocate(12).putInt(1).putInt(1).putInt(-1).flip();
        assertThatThrownBy(() -> MessageHeader.decode(huge)).hasMessageContaining("4294967295 bytes");
    }

    @Test
    void shouldNumberFrontEndMessagesFrom1To44() {
        assertThat(FrontendRequest.values()).hasSize(44);
        for (int id = 1; id <= 44; id++) {
            FrontendRequest request = FrontendRequest.byId(id);
            assertThat(request).extracting(FrontendRequest::id).isEqualTo(id);
        }
        assertThat(FrontendRequest.byId(0)).isNull();
        assertThat(FrontendRequest.byId(45)).isNull();
        assertThat(FrontendRequest.byId(-1)).isNull();
        assertThat(FrontendRequest.SET_MEM_TABLE.id()).isEqualTo(5);
        assertThat(FrontendRequest.GET_VRING_BASE.id()).isEqualTo(11);
        assertThat(FrontendRequest.SET_VRING_ENABLE.id()).isEqualTo(18);
        assertThat(FrontendRequest.GET_CONFIG.id()).isEqualTo(24);
        assertThat(FrontendRequest.SET_INFLIGHT_FD.id()).isEqualTo(32);
        assertThat(FrontendRequest.REM_MEM_REG.id()).isEqualTo(38);
        assertThat(FrontendRequest.GET_SHMEM_CONFIG.id()).isEqualTo(44);
    }

    @Test
    void shouldNumberProtocolFeaturesAndBackEndMessagesAsTheSpecificationDoes() {
        assertThat(ProtocolFeature.values()).hasSize(23);
        assertThat(ProtocolFeature.MQ.mask()).isEqualTo(1);
        assertThat(ProtocolFeature.REPLY_ACK.mask()).isEqualTo(1 << 3);
        assertThat(ProtocolFeature.BACKEND_REQ.mask()).isEqualTo(1 << 5);
        assertThat(ProtocolFeature.CONFIG.mask()).isEqualTo(1 << 9);
        assertThat(ProtocolFeature.CONFIGURE_MEM_SLOTS.mask()).isEqualTo(1L << 15);
        assertThat(ProtocolFeature.SHMEM_MAP.mask()).isEqualTo(1L << 22);
        assertThat(BackendRequest.CONFIG_CHANGE_MSG.id()).isEqualTo(2);
        assertThat(BackendRequest.SHMEM_UNMAP.id()).isEqualTo(10);
    }

    @Test
    void shouldEncodeAVringAddressInTheOrderDescUsedAvail() {
        VringAddress address = new VringAddress(1, 2, 3, 4, 5, 6);
        ByteBuffer buffer = address.encode();
        assertThat(buffer.remaining()).isEqualTo(40);
        assertThat(buffer.getInt(0)).isEqualTo(1);
        assertThat(buffer.getInt(4)).isEqualTo(2);
        assertThat(buffer.getLong(8)).isEqualTo(3);
        assertThat(buffer.getLong(16)).isEqualTo(4);
        assertThat(buffer.getLong(24)).isEqualTo(5);
        assertThat(buffer.getLong(32)).isEqualTo(6);
        assertThat(address.usedUserAddress()).isEqualTo(4);
        assertThat(address.availUserAddress()).isEqualTo(5);
        assertThat(VringAddress.decode(buffer)).isEqualTo(address);
    }

    @Test
    void shouldEncodeARegionWithAndWithoutPadding() {
        MemoryRegionDescription region = new MemoryRegionDescription(1, 2, 3, 4);
        ByteBuffer padded = region.encodePadded();
        assertThat(padded.remaining()).isEqualTo(40);
        assertThat(padded.getLong(8)).isEqualTo(1);
        assertThat(padded.getLong(16)).isEqualTo(2);
        assertThat(padded.getLong(24)).isEqualTo(3);
        assertThat(padded.getLong(32)).isEqualTo(4);
        assertThat(MemoryRegionDescription.decodePadded(padded)).isEqualTo(region);
        MemoryTable table = new MemoryTable(List.of(region, region));
        ByteBuffer encoded = table.encode();
        assertThat(encoded.remaining()).isEqualTo(8 + 2 * 32);
        assertThat(encoded.getInt(0)).isEqualTo(2);
    }

    @Test
    void shouldDecodeATableByItsCount() throws Exception {
        MemoryRegionDescription region = new MemoryRegionDescription(1, 2, 3, 4);
        ByteBuffer roomForTwo =
                new MemoryTable(List.of(region, region)).encode().putInt(0, 1);
        assertThat(MemoryTable.decode(roomForTwo).regions()).containsExactly(region);
        ByteBuffer tooMany = new MemoryTable(List.of(region)).encode().putInt(0, 2);
        assertThatThrownBy(() -> MemoryTable.decode(tooMany)).isInstanceOf(VhostUserProtocolException.class);
    }

    @Test
    void shouldEncodeAVringDescriptorsIndexAndNofdBit() {
        assertThat(bytes(new VringFd(7, true).encode())).containsExactly(7, 0, 0, 0, 0, 0, 0, 0);
        assertThat(bytes(new VringFd(7, false).encode())).containsExactly(7, 1, 0, 0, 0, 0, 0, 0);
        assertThat(VringFd.decode(Wire.u64(0x1ff))).isEqualTo(new VringFd(255, false));
        assertThat(VringFd.decode(Wire.u64(0xff))).isEqualTo(new VringFd(255, true));
    }

    @Test
    void shouldEncodeAVringState() {
        assertThat(bytes(new VringState(1, 256).encode())).containsExactly(1, 0, 0, 0, 0, 1, 0, 0);
    }
}
