// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.virtioblk.DiskGeometry;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.socket.ListenerOptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class DiskSpecTest {
    private static DiskConfig parse(String text) {
        return DiskSpec.parse(text, new DiskDefaults()).build();
    }

    @Test
    void shouldTakeDefaults() {
        assertThat(parse("image=a.img,socket=a.sock"))
                .isEqualTo(new DiskConfig(
                        BlockOptions.of("a.img"),
                        ListenerOptions.atPath("a.sock"),
                        new VirtioBlkSettings("a.img", 64, 1024, true, 126, true, true, 32)));
    }

    @Test
    void shouldTakeEveryKey() {
        DiskConfig disk = parse("image=a.img,socket=a.sock,socket-mode=0660,socket-owner=root,socket-group=0,serial=S1,"
                + "queues=3,queue-size=256,packed=off,seg-max=254,max-ranges=16,block-size=4K,read-only=on,share-rw=on,"
                + "force-share=on,locking=off,cache=none,engine=threads,discard=ignore,write-zeroes=off,"
                + "secure-erase=on,geometry=65535/255/63,lifetime=warning:11:0,zone-size=1M,zone-capacity=960K,"
                + "conventional-zones=2,max-open-zones=3,max-active-zones=4,zone-metadata=z,format=qcow2,snapshot=s1,"
                + "l2-cache-size=8M");

        assertThat(disk)
                .isEqualTo(new DiskConfig(
                        BlockOptions.of("a.img")
                                .withReadOnly(true)
                                .withType(ImageType.QCOW2)
                                .withSnapshot("s1")
                                .withL2CacheBytes(8 << 20)
                                .withCacheMode(CacheMode.NONE)
                                .withEngine(IoEngine.THREADS)
                                .withDiscard(false)
                                .withLogicalBlockBytes(4096)
                                .withLocking(Locking.OFF)
                                .withShareRw(true)
                                .withForceShare(true)
                                .withZones(new ZoneOptions("z", 1 << 20, 960 << 10, 2, 3, 4)),
                        new ListenerOptions("a.sock", -1, 0660, "root", "0"),
                        new VirtioBlkSettings(
                                "S1",
                                3,
                                256,
                                false,
                                254,
                                false,
                                false,
                                16,
                                true,
                                new DiskGeometry(65535, 255, 63),
                                new DiskLifetime(2, 11, 0))));
    }

    @Test
    void shouldKeepZonesBesideTheImage() {
        assertThat(parse("image=a.img,socket=s,zone-size=256M").block().zones())
                .isEqualTo(new ZoneOptions("a.img.zones", 256 << 20, 0, 0, 0, 0));
    }

    @Test
    void shouldKnowWaysNotToSetGeometryAndWear() {
        assertThat(parse("image=a,socket=s,geometry=auto").device().geometry()).isNull();
        assertThat(parse("image=a,socket=s,lifetime=auto").device().lifetime()).isNull();
        assertThat(parse("image=a,socket=s,lifetime=off").device().lifetime()).isEqualTo(DiskLifetime.UNKNOWN);
    }

    @Test
    void shouldTakeASocketDescriptor() {
        assertThat(parse("image=a.img,socket-fd=3").listener()).isEqualTo(ListenerOptions.inherited(3));
    }

    @ParameterizedTest
    @CsvSource({
        "none, NONE",
        "writeback, WRITEBACK",
        "writethrough, WRITETHROUGH",
        "directsync, DIRECTSYNC",
        "unsafe, UNSAFE",
    })
    void shouldKnowQemusCacheModes(String name, CacheMode mode) {
        assertThat(parse("image=a,socket=s,cache=" + name).block().cacheMode()).isEqualTo(mode);
    }

    @ParameterizedTest
    @CsvSource({"auto, AUTO", "io_uring, IO_URING", "threads, THREADS"})
    void shouldKnowEngines(String name, IoEngine engine) {
        assertThat(parse("image=a,socket=s,engine=" + name).block().engine()).isEqualTo(engine);
    }

    @ParameterizedTest
    @CsvSource({"unmap, true", "on, true", "ignore, false", "off, false"})
    void shouldKnowDiscard(String name, boolean discard) {
        DiskConfig disk = parse("image=a,socket=s,discard=" + name);
        assertThat(disk.block().discard()).isEqualTo(discard);
        assertThat(disk.device().discard()).isEqualTo(discard);
    }

    @Test
    void shouldSwitchOnWhatIsMerelyNamed() {
        DiskConfig disk = parse("image=a,socket=s,read-only,share-rw,force-share,locking,write-zeroes");

        assertThat(disk.block().readOnly()).isTrue();
        assertThat(disk.block().shareRw()).isTrue();
        assertThat(disk.block().forceShare()).isTrue();
        assertThat(disk.block().locking()).isEqualTo(Locking.ON);
        assertThat(disk.device().writeZeroes()).isTrue();
    }

    /** Several guests that write one disk destroy it unless they know of each other: that has to be said. */
    @Test
    void shouldServeSeveralClientsOnlyReadOnlyOrShared() {
        assertThat(parse("image=a,socket=s").listener().clientsMax()).isEqualTo(1);
        assertThat(parse("image=a,socket=s,clients=2,read-only").listener().clientsMax())
                .isEqualTo(2);
        assertThat(parse("image=a,socket=s,clients=64,share-rw").listener().clientsMax())
                .isEqualTo(64);
        assertThatThrownBy(() -> parse("image=a,socket=s,clients=2"))
                .hasMessage("clients: several guests that write one disk destroy its file system: add read-only=on, or"
                        + " share-rw=on for a cluster file system");
        assertThatThrownBy(() -> parse("image=a,socket=s,clients=65,read-only")).hasMessageContaining("1 to 64");
    }

    @Test
    void shouldOfferWhatIsAskedFor() {
        assertThat(parse("image=a,socket=s").session()).isEqualTo(SessionOptions.DEFAULT);
        assertThat(parse("image=a,socket=s,in-order").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.IN_ORDER));
        assertThat(parse("image=a,socket=s,access-platform").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.ACCESS_PLATFORM));
        assertThat(parse("image=a,socket=s,order-platform").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.ORDER_PLATFORM));
        assertThat(parse("image=a,socket=s,in-band=on").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.IN_BAND_NOTIFICATIONS));
        assertThat(parse("image=a,socket=s,gpa-addresses").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.GPA_ADDRESSES));
        assertThat(parse("image=a,socket=s,get-vring-base-inflight").session())
                .isEqualTo(SessionOptions.DEFAULT.with(OptionalFeature.GET_VRING_BASE_INFLIGHT));
        assertThat(parse("image=a,socket=s,postcopy=off").session())
                .isEqualTo(SessionOptions.DEFAULT.without(OptionalFeature.POSTCOPY));
    }

    @Test
    void shouldOverrideDefaultsOfTheCommandForThisDiskOnly() {
        DiskDefaults defaults = new DiskDefaults();
        defaults.queues = 2;
        defaults.readOnly = true;

        assertThat(DiskSpec.parse("image=a,socket=s,queues=5,read-only=off", defaults)
                        .build()
                        .device()
                        .queueCountMax())
                .isEqualTo(5);
        DiskConfig other = DiskSpec.parse("image=b,socket=t", defaults).build();
        assertThat(other.device().queueCountMax()).isEqualTo(2);
        assertThat(other.block().readOnly()).isTrue();
    }

    @Test
    void shouldTakeTwoCommasForOne() {
        assertThat(DiskSpec.splitList("a,,b,c,,,d,,,,e")).containsExactly("a,b", "c,", "d,,e");
        assertThat(parse("image=a,,b=c.img,socket=s").block().image()).isEqualTo("a,b=c.img");
    }

    @Test
    void shouldMakeTheSerialFromTheImagesName() {
        assertThat(parse("image=/var/disk/a b.img,socket=s").device().serial()).isEqualTo("a_b.img");
        assertThat(parse("image=0123456789-0123456789.img,socket=s").device().serial())
                .isEqualTo("56789-0123456789.img")
                .hasSize(20);
        assertThat(parse("image=/,socket=s").device().serial()).isEqualTo("/");
    }

    @Test
    void shouldCountASerialsBytesNotItsCharacters() {
        String twentyBytes = "ä".repeat(10);
        assertThat(parse("image=a,socket=s,serial=" + twentyBytes).device().serial())
                .isEqualTo(twentyBytes);
        assertRefused(
                "image=a,socket=s,serial=" + twentyBytes + "x",
                "serial: '" + twentyBytes + "x' is longer than 20 bytes");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "socket=s | no image given: what is to be served? (image=FILE)",
                "image=,socket=s | no image given: what is to be served? (image=FILE)",
                "image,socket=s | image: needs a value: image=...",
                "image=a | a: needs one socket: socket=PATH or socket-fd=N",
                "image=a,socket=s,socket-fd=3 | a: needs one socket: socket=PATH or socket-fd=N, not both",
                "image=a,socket-fd=-1 | socket-fd: '-1' is no number from 0 to 2147483647",
                "image=a,image=b,socket=s | image: is given twice; a comma in a value is written ',,'",
                "image=a,socket=s, | a comma too many (a comma in a value is written ',,')",
                "image=a,socket=s,queues=0 | queues: '0' is no number from 1 to 256",
                "image=a,socket=s,queues=257 | queues: '257' is no number from 1 to 256",
                "image=a,socket=s,queues=many | queues: 'many' is no number from 1 to 256",
                "image=a,socket=s,queue-size=3 | queue-size: '3' is no power of two from 1 to 32768",
                "image=a,socket=s,queue-size=65536 | queue-size: '65536' is no number from 1 to 32768",
                "image=a,socket=s,seg-max=1023 | seg-max: '1023' is no number from 1 to 1022",
                "image=a,socket=s,max-ranges=257 | max-ranges: '257' is no number from 1 to 256",
                "image=a,socket=s,block-size=256 | block-size: '256' is no power of two from 512 to 65536",
                "image=a,socket=s,block-size=1000 | block-size: '1000' is no power of two from 512 to 65536",
                "image=a,socket=s,block-size=128K | block-size: '131072' is no power of two from 512 to 65536",
                "image=a,socket=s,block-size=x | block-size: 'x' is no size such as 512, 4K or 64MiB",
                "image=a,socket=s,read-only=yes | read-only: 'yes' is neither on nor off",
                "image=a,socket=s,format=vmdk | format: 'vmdk' is none of [raw, qcow2, auto]",
                "image=a,socket=s,snapshot=1 | snapshot: can only be read: add read-only=on",
                "image=a,socket=s,locking=1 | locking: '1' is none of [on, deferred, off]",
                "image=a,socket=s,discard=maybe | discard: 'maybe' is neither unmap nor ignore",
                "image=a,socket=s,cache=fast | cache: 'fast' is none of [none, writeback, writethrough, directsync, unsafe]",
                "image=a,socket=s,engine=aio | engine: 'aio' is none of [auto, io_uring, threads, mmap]",
                "image=a,socket=s,socket-mode=rw | socket-mode: 'rw' is no octal mode such as 0660",
                "image=a,socket=s,socket-mode=1777 | socket-mode: '1777' is no octal mode such as 0660",
                "image=a,socket=s,socket-owner=no-such | socket-owner: there is no user 'no-such'; give a name or a number",
                "image=a,socket=s,socket-group=no-such | socket-group: there is no group 'no-such'; give a name or a number",
                "image=a,socket=s,geometry=0/1/1 | geometry: '0/1/1' is no geometry such as 1024/16/63: up to 65535 cylinders, 255 heads, 255 sectors; or auto",
                "image=a,socket=s,geometry=1024 | geometry: '1024' is no geometry such as 1024/16/63: up to 65535 cylinders, 255 heads, 255 sectors; or auto",
                "image=a,socket=s,lifetime=normal:12:0 | lifetime: 'normal:12:0' is no wear such as normal:1:2: spare blocks unknown, normal, warning, urgent, then twice 0 to 11; or auto, off",
                "image=a,socket=s,lifetime=new:1:1 | lifetime: 'new:1:1' is no wear such as normal:1:2: spare blocks unknown, normal, warning, urgent, then twice 0 to 11; or auto, off",
                "image=a,socket=s,secure-erase=maybe | secure-erase: 'maybe' is neither on nor off",
                "image=a,socket=s,zone-size=3M | zone-size: '3145728' is no power of two from 65536 on",
                "image=a,socket=s,zone-size=32K | zone-size: '32768' is no power of two from 65536 on",
                "image=a,socket=s,max-open-zones=3 | max-open-zones: there are no zones without zone-size",
                "image=a,socket=s,zone-metadata=z | --zone-size: is missing: there are no zones without it",
                "image=a,socket=s,conventional-zones=-1 | conventional-zones: '-1' is no number from 0 to 131072",
                "image=a,socket=s,force-share=on | force-share: is only safe for reading: add read-only=on",
            })
    void shouldRefuse(String text, String message) {
        assertRefused(text, message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"color=blue", "color", "Image=b", "--queues=3"})
    void shouldListTheKeysWhenOneIsUnknown(String part) {
        assertThatThrownBy(() -> parse("image=a,socket=s," + part))
                .isInstanceOf(TypeConversionException.class)
                .hasMessageContaining("no such key; known are image, socket, socket-fd")
                .hasMessageContaining(part.replaceAll("=.*", "") + ": ");
    }

    @Test
    void shouldTakeEveryKeyThatItLists() {
        for (String key : DiskSpec.KEYS.subList(1, DiskSpec.KEYS.size())) {
            try {
                DiskSpec.ofOptions(new DiskDefaults(), "a").set(key, "?");
            } catch (TypeConversionException e) {
                assertThat(e).hasMessageStartingWith("--" + key + ": ").hasMessageNotContaining("no such key");
            }
        }
        assertThat(DiskSpec.KEYS).doesNotHaveDuplicates().hasSize(41);
    }

    @Test
    void shouldNameTheOptionWhereAValueCameFromOne() {
        DiskDefaults defaults = new DiskDefaults();
        defaults.queues = 1000;

        assertThatThrownBy(() -> DiskSpec.parse("image=a,socket=s", defaults).build())
                .hasMessage("--queues: '1000' is no number from 1 to 256");
        assertThatThrownBy(() -> {
                    DiskSpec disk = DiskSpec.ofOptions(defaults, "a");
                    disk.set("socket", "s");
                    disk.build();
                })
                .hasMessage("--queues: '1000' is no number from 1 to 256");
    }

    private static void assertRefused(String text, String message) {
        assertThatThrownBy(() -> parse(text))
                .isInstanceOf(TypeConversionException.class)
                .hasMessage(message);
    }
}
