// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.memory.HostMemory;

/**
 * A driver that puts anything in its ring, but where a device will look for it. Knows no free descriptors: it goes round
 * and overwrites what may be in flight.
 *
 * <pre>
 *   0               0x400          0x800             0xc00
 *   | descriptors   | driver area  | device area     | headers, ranges, statuses   (each ring has 0x1000)
 * </pre>
 */
final class HostileDriver {
    static final int SIZE = 16;
    static final int RING_BYTES = 0x1000;
    static final int DRIVER_AREA = 0x400;
    static final int DEVICE_AREA = 0x800;
    static final int SCRATCH = 0xc00;

    /** A header or a status of its own for so many requests. */
    private static final int SCRATCH_SLOTS = 16;

    /** Data of all rings, in the upper half of the memory. */
    private static final int DATA = GuestFiles.MEMORY_BYTES / 2;

    private static final int NEXT = 1;
    private static final int WRITE = 2;
    private static final int INDIRECT = 4;
    private static final int PACKED_AVAIL = 1 << 7;
    private static final int PACKED_USED = 1 << 15;

    private static final int[] LENGTHS = {
        0, 1, 7, 8, 15, 16, 17, 20, 32, 48, 64, 128, 511, 512, 513, 1024, 4096, 8192, 65536
    };

    private final GuestFiles files;
    private final int base;
    private boolean packed;
    private int availIdx;
    private int nextSlot;
    private boolean wrap = true;
    private int requests;

    HostileDriver(GuestFiles files, int index) {
        this.files = files;
        this.base = index * RING_BYTES;
    }

    long address(int offset) {
        return files.main.hostAddress() + base + offset;
    }

    private long guestAddress(int offset) {
        return GuestFiles.GUEST_ADDRESS + offset;
    }

    void begin(boolean withPackedRing) {
        packed = withPackedRing;
        availIdx = 0;
        nextSlot = 0;
        wrap = true;
    }

    /** A request as a driver might make it, distorted where the input wants that. */
    void addRequest(InputBytes input) {
        int shape = input.u8();
        int type = (shape & 0x80) != 0 ? input.i32() : TYPES[input.choice(TYPES.length)];
        long sector = sector(input);
        int scratch = SCRATCH + requests++ % SCRATCH_SLOTS * 64;
        HostMemory.putInt(address(scratch), type);
        HostMemory.putInt(address(scratch) + 4, 0);
        HostMemory.putLong(address(scratch) + 8, sector);
        Chain chain = new Chain();
        int headerBytes = (shape & 1) != 0 ? LENGTHS[input.choice(LENGTHS.length)] : 16;
        if ((shape & 2) != 0) {
            int cut = input.choice(17); // The header in two pieces.
            chain.add(guestAddress(base + scratch), Math.min(cut, headerBytes), 0);
            chain.add(guestAddress(base + scratch + cut), Math.max(0, headerBytes - cut), 0);
        } else {
            chain.add(guestAddress(base + scratch), headerBytes, 0);
        }
        boolean readsRanges = type == 11 || type == 13 || type == 14;
        if (readsRanges) {
            int count = input.choice(FuzzedBackEnd.RANGES_MAX + 2);
            for (int i = 0; i < count; i++) {
                long range = files.main.hostAddress() + DATA + 16L * i;
                HostMemory.putLong(range, sector(input));
                HostMemory.putInt(range + 8, input.u8() * ((shape & 4) != 0 ? 0x01010101 : 1));
                HostMemory.putInt(range + 12, input.u8() & 3);
            }
            int flags = (shape & 8) != 0 ? WRITE : 0;
            chain.add(guestAddress(DATA), 16 * count + ((shape & 16) != 0 ? input.u8() & 15 : 0), flags);
        }
        for (int left = (shape >>> 4 & 3) - (readsRanges ? 1 : 0); left > 0; left--) {
            boolean writable = (shape & 8) != 0 ? input.flag() : (type & 1) == 0 || type == 11;
            chain.add(dataAddress(input), LENGTHS[input.choice(LENGTHS.length)], writable ? WRITE : 0);
        }
        if ((shape & 0x40) == 0) {
            chain.add(guestAddress(base + scratch + 32), 1, WRITE);
        }
        chain.publish((shape & 4) != 0, false);
    }

    private static final int[] TYPES = {0, 1, 4, 8, 10, 11, 13, 14, 15, 16, 18, 20, 22, 24, 26, 2, 25};

    /** Mostly on the disk, now and then just behind its end, or anywhere. */
    private static long sector(InputBytes input) {
        int kind = input.u8();
        return switch (kind >>> 6) {
            case 0 -> kind & 63;
            case 1 -> (kind & 63) * 64L;
            case 2 -> Disks.BYTES / 512 - (kind & 63);
            default -> input.i64();
        };
    }

    private long dataAddress(InputBytes input) {
        int kind = input.u8();
        return switch (kind & 7) {
            case 0 -> GuestFiles.GUEST_ADDRESS + GuestFiles.MEMORY_BYTES - input.u8();
            case 1 -> files.shrinking.guestAddress() + input.u16() % (2 * GuestFiles.OTHER_BYTES);
            case 2 -> input.i64();
            default -> guestAddress(DATA + (input.u16() & 0x3fff));
        };
    }

    /** Descriptors with anything in them. */
    void addDescriptors(InputBytes input) {
        Chain chain = new Chain();
        int shape = input.u8();
        for (int left = 1 + (shape & 7); left > 0; left--) {
            int length = input.flag() ? LENGTHS[input.choice(LENGTHS.length)] : input.i32();
            chain.add(dataAddress(input), length, input.u8() & 7);
        }
        chain.publish((shape & 8) != 0, (shape & 16) != 0);
    }

    /** Any bytes anywhere in the rings or the data. */
    void poke(InputBytes input) {
        int at = input.u16();
        byte[] bytes = input.take(1 + (input.u8() & 15));
        int length = Math.min(bytes.length, GuestFiles.MEMORY_BYTES - at);
        HostMemory.copyIn(bytes, 0, files.main.hostAddress() + at, length);
    }

    /** A few descriptors on their way into the ring, or into an indirect table. */
    private final class Chain {
        private static final int MAX = 12;

        private final long[] addresses = new long[MAX];
        private final int[] lengths = new int[MAX];
        private final int[] flags = new int[MAX];
        private int count;

        private void add(long address, int length, int newFlags) {
            if (count < MAX) {
                addresses[count] = address;
                lengths[count] = length;
                flags[count++] = newFlags;
            }
        }

        private void publish(boolean indirect, boolean loops) {
            if (count == 0) {
                return;
            }
            if (indirect) {
                long table = files.main.hostAddress() + DATA + 0x4000;
                for (int i = 0; i < count; i++) {
                    int next = packed || i + 1 == count ? 0 : NEXT;
                    put(table + 16L * i, addresses[i], lengths[i], flags[i] | next, loops ? 0 : i + 1);
                }
                addresses[0] = guestAddress(DATA + 0x4000);
                lengths[0] = 16 * count;
                flags[0] = INDIRECT;
                count = 1;
            }
            if (packed) {
                publishPacked();
            } else {
                publishSplit(loops);
            }
        }

        private void publishSplit(boolean loops) {
            int head = nextSlot;
            for (int i = 0; i < count; i++) {
                int slot = (head + i) % SIZE;
                int next = i + 1 < count ? (head + i + 1) % SIZE : head;
                int more = i + 1 < count || loops ? NEXT : 0;
                put(address(16 * slot), addresses[i], lengths[i], flags[i] | more, next);
            }
            nextSlot = (head + count) % SIZE;
            HostMemory.putU16(address(DRIVER_AREA + 4 + 2 * (availIdx % SIZE)), head);
            HostMemory.putU16(address(DRIVER_AREA + 2), ++availIdx);
        }

        private void put(long entry, long address, int length, int newFlags, int next) {
            HostMemory.putLong(entry, address);
            HostMemory.putInt(entry + 8, length);
            HostMemory.putU16(entry + 12, newFlags);
            HostMemory.putU16(entry + 14, next);
        }

        private void publishPacked() {
            for (int i = 0; i < count; i++) {
                long entry = address(16 * nextSlot);
                HostMemory.putLong(entry, addresses[i]);
                HostMemory.putInt(entry + 8, lengths[i]);
                HostMemory.putU16(entry + 12, nextSlot);
                int more = i + 1 < count ? NEXT : 0;
                HostMemory.putU16(entry + 14, flags[i] | more | (wrap ? PACKED_AVAIL : PACKED_USED));
                if (++nextSlot == SIZE) {
                    nextSlot = 0;
                    wrap = !wrap;
                }
            }
        }
    }
}
