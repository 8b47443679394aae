// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * One header extension as it stands in the file: its type, and its data without padding. An unknown one is kept as it is. A
 * value; any thread.
 */
public final class Qcow2Extension {
    private final int type;
    private final byte[] data;

    public Qcow2Extension(int type, byte[] data) {
        this.type = type;
        this.data = data.clone();
    }

    /** An extension that holds a string, such as the name of the data file. */
    public Qcow2Extension(int type, String text) {
        this(type, text.getBytes(StandardCharsets.UTF_8));
    }

    /** One of {@code Qcow2Layout.EXTENSION_*}, or any other number. */
    public int type() {
        return type;
    }

    /** The data, read-only, big-endian. */
    public ByteBuffer data() {
        return ByteBuffer.wrap(data).asReadOnlyBuffer();
    }

    /** The data as text. */
    public String text() {
        return new String(data, StandardCharsets.UTF_8);
    }

    public int lengthBytes() {
        return data.length;
    }

    /** What it takes in the file. */
    int storedBytes() {
        return Qcow2Layout.EXTENSION_HEADER_BYTES + (data.length + 7 & ~7);
    }

    void encode(ByteBuffer out) {
        int end = out.position() + storedBytes();
        out.putInt(type).putInt(data.length).put(data).position(end);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Qcow2Extension that && type == that.type && Arrays.equals(data, that.data);
    }

    @Override
    public int hashCode() {
        return 31 * type + Arrays.hashCode(data);
    }

    @Override
    public String toString() {
        return "extension 0x%08x (%d bytes)".formatted(type, data.length);
    }
}
