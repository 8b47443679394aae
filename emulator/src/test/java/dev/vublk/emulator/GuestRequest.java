// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.memory.HostMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One virtio-blk request as a guest makes it: a stream of bytes that the device reads (header, data) and a stream that it
 * writes (data, status), each cut into buffers anyhow. One thread.
 *
 * <p>What the device is to write begins as {@link #UNTOUCHED}, so that what it left alone can be told.
 */
public final class GuestRequest {
    public static final int IN = 0;
    public static final int OUT = 1;
    public static final int FLUSH = 4;
    public static final int GET_ID = 8;
    public static final int DISCARD = 11;
    public static final int GET_LIFETIME = 10;
    public static final int WRITE_ZEROES = 13;
    public static final int SECURE_ERASE = 14;
    public static final int ZONE_APPEND = 15;
    public static final int ZONE_REPORT = 16;
    public static final int ZONE_OPEN = 18;
    public static final int ZONE_CLOSE = 20;
    public static final int ZONE_FINISH = 22;
    public static final int ZONE_RESET = 24;
    public static final int ZONE_RESET_ALL = 26;

    public static final int OK = 0;
    public static final int IOERR = 1;
    public static final int UNSUPP = 2;
    public static final int ZONE_INVALID_CMD = 3;
    public static final int ZONE_UNALIGNED_WP = 4;
    public static final int ZONE_OPEN_RESOURCE = 5;
    public static final int ZONE_ACTIVE_RESOURCE = 6;

    public static final byte UNTOUCHED = (byte) 0xee;
    public static final int HEADER_BYTES = 16;

    private byte[] readable;
    private int writableBytes = 1;
    private byte[] prefilled = {};
    private int[] readableCuts = {HEADER_BYTES};
    private int[] writableCuts = {};
    private boolean cutStatus = true;
    private boolean indirect;
    private int skewBytes;

    private long address;
    private long addressBytes;
    private long[] bufferAddresses = {};
    private int[] bufferLengths = {};
    private int readableBuffers;
    private int usedBytes;
    private byte[] written = {};

    private GuestRequest(byte[] readable) {
        this.readable = readable;
    }

    public static GuestRequest of(int type, long sector) {
        byte[] header = new byte[HEADER_BYTES];
        littleEndian(header).putInt(type).putInt(0).putLong(sector);
        return ofBytes(header);
    }

    /** Anything in place of header and data. */
    public static GuestRequest ofBytes(byte[] readable) {
        return new GuestRequest(readable);
    }

    public static GuestRequest read(long sector, int bytes) {
        return of(IN, sector).room(bytes);
    }

    public static GuestRequest write(long sector, byte[] data) {
        return of(OUT, sector).data(data);
    }

    /** A DISCARD, WRITE_ZEROES or SECURE_ERASE of ranges: sector, sector count, flags, and so on. */
    public static GuestRequest ranges(int type, long... ranges) {
        byte[] segments = new byte[ranges.length / 3 * 16];
        ByteBuffer bytes = littleEndian(segments);
        for (int i = 0; i < ranges.length; i += 3) {
            bytes.putLong(ranges[i]).putInt((int) ranges[i + 1]).putInt((int) ranges[i + 2]);
        }
        return of(type, 0).data(segments);
    }

    private static ByteBuffer littleEndian(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Appends to what the device reads. */
    public GuestRequest data(byte[] data) {
        int before = readable.length;
        readable = Arrays.copyOf(readable, before + data.length);
        System.arraycopy(data, 0, readable, before, data.length);
        return this;
    }

    /** Room for data that the device writes, in front of the status. */
    public GuestRequest room(int bytes) {
        writableBytes = bytes + 1;
        return this;
    }

    /** Room for data that the device writes, which holds something before. */
    public GuestRequest answering(byte[] before) {
        prefilled = before;
        return room(before.length);
    }

    /** Nothing at all for the device to write. */
    public GuestRequest withoutStatus() {
        writableBytes = 0;
        return this;
    }

    /** Cuts what the device reads into buffers of these lengths (0 too); the rest goes into one more. */
    public GuestRequest cutReadable(int... lengths) {
        readableCuts = lengths;
        return this;
    }

    /** The same for what the device writes; the status then lies in the last buffer, together with what is left. */
    public GuestRequest cutWritable(int... lengths) {
        writableCuts = lengths;
        cutStatus = false;
        return this;
    }

    /** In an indirect table. */
    public GuestRequest indirect() {
        indirect = true;
        return this;
    }

    /** Where the device puts the status, once the request has been submitted. */
    public long statusAddress() {
        int last = bufferLengths().length - 1;
        return bufferAddresses()[last] + bufferLengths()[last] - 1;
    }

    boolean isIndirect() {
        return indirect;
    }

    /** Each buffer begins so many bytes behind a multiple of 64. */
    public GuestRequest skewed(int bytes) {
        skewBytes = bytes;
        return this;
    }

    /** Lays the request out in the guest's memory. */
    void place(Guest guest) {
        List<Integer> lengths = new ArrayList<>(cut(readable.length, readableCuts));
        readableBuffers = lengths.size();
        int[] cuts = writableCuts;
        if (cutStatus && writableBytes > 1) {
            cuts = new int[] {writableBytes - 1};
        }
        lengths.addAll(cut(writableBytes, cuts));
        bufferLengths = lengths.stream().mapToInt(Integer::intValue).toArray();
        bufferAddresses = new long[bufferLengths.length];
        long tableBytes = indirect ? 16L * bufferLengths.length : 0;
        addressBytes = tableBytes;
        for (int length : bufferLengths) {
            addressBytes += spaceOf(length);
        }
        address = guest.heap().allocate(addressBytes);
        long at = address + tableBytes;
        for (int i = 0; i < bufferLengths.length; i++) {
            bufferAddresses[i] = at + skewBytes;
            at += spaceOf(bufferLengths[i]);
        }
        fill();
    }

    private long spaceOf(int length) {
        return skewBytes + ((length + 63L) & -64);
    }

    private static List<Integer> cut(int bytes, int... cuts) {
        List<Integer> lengths = new ArrayList<>();
        int left = bytes;
        for (int cut : cuts) {
            int length = Math.min(cut, left);
            if (length > 0 || cut == 0) {
                lengths.add(length);
                left -= length;
            }
        }
        if (left > 0) {
            lengths.add(left);
        }
        return lengths;
    }

    private void fill() {
        int done = 0;
        for (int i = 0; i < bufferLengths.length; i++) {
            if (i < readableBuffers) {
                HostMemory.copyIn(readable, done, bufferAddresses[i], bufferLengths[i]);
                done += bufferLengths[i];
            } else {
                HostMemory.fill(bufferAddresses[i], bufferLengths[i], UNTOUCHED);
                if (i == readableBuffers) {
                    HostMemory.copyIn(prefilled, 0, bufferAddresses[i], prefilled.length);
                }
            }
        }
    }

    /** Where an indirect table of the request may lie. */
    long tableAddress() {
        return address;
    }

    long[] bufferAddresses() {
        return bufferAddresses;
    }

    int[] bufferLengths() {
        return bufferLengths;
    }

    int readableBuffers() {
        return readableBuffers;
    }

    /** Keeps what the device wrote and gives the memory back. */
    void complete(Guest guest, int used) {
        usedBytes = used;
        int done = 0;
        written = new byte[writableBytes];
        for (int i = readableBuffers; i < bufferLengths.length; i++) {
            HostMemory.copyOut(bufferAddresses[i], written, done, bufferLengths[i]);
            done += bufferLengths[i];
        }
        guest.heap().release(address, addressBytes);
    }

    /** What the device said the length of what it wrote is. */
    public int usedBytes() {
        return usedBytes;
    }

    /** The last byte that the device was to write. */
    public int status() {
        return written[written.length - 1];
    }

    /** What the device was to write in front of the status. */
    public byte[] answer() {
        return Arrays.copyOf(written, written.length - 1);
    }
}
