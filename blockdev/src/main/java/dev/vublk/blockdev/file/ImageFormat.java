// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * Formats that a file's first (or last) bytes give away. Unless its format is given, an image is opened as what its first bytes
 * say; the last ones only serve to tell a person that an image is probably not raw.
 */
public enum ImageFormat {
    /** None of the others. */
    RAW("raw", 0, ""),
    QCOW2("qcow2", 0, "514649fb"),
    QED("qed", 0, "51454400"),
    VMDK("vmdk", 0, "4b444d56"),
    VMDK_COWD("vmdk", 0, "434f5744"),
    VMDK_DESCRIPTOR("vmdk", 0, ascii("# Disk DescriptorFile")),
    VHDX("vhdx", 0, ascii("vhdxfile")),
    VHD("vhd", 0, ascii("conectix")),
    /** A fixed VHD is a raw image with a footer in its last 512 bytes. */
    VHD_FIXED("vhd", -512, ascii("conectix")),
    VDI("vdi", 64, "7f10dabe"),
    LUKS("luks", 0, ascii("LUKS") + "babe"),
    PARALLELS("parallels", 0, ascii("WithoutFreeSpace")),
    PARALLELS_EXTENDED("parallels", 0, ascii("WithouFreSpacExt")),
    GZIP("gzip", 0, "1f8b08"),
    XZ("xz", 0, "fd377a585a00"),
    ZSTD("zstd", 0, "28b52ffd");

    /** How much of a file's beginning {@link #detect} wants to see. */
    static final int HEAD_BYTES = 512;

    /** How much of its end. */
    static final int TAIL_BYTES = 512;

    private final String label;
    private final int offsetBytes;
    private final String magicHex;

    /** The formats that decide how an image is opened. */
    private static final ImageFormat[] PROBED = Arrays.stream(values())
            .filter(format -> format == QCOW2 || format.isForeign())
            .toArray(ImageFormat[]::new);

    /** @param offsetBytes where the magic stands; negative: so many bytes before the end */
    ImageFormat(String label, int offsetBytes, String magicHex) {
        this.label = label;
        this.offsetBytes = offsetBytes;
        this.magicHex = magicHex;
    }

    private static String ascii(String text) {
        return HexFormat.of().formatHex(text.getBytes(StandardCharsets.US_ASCII));
    }

    /** The format's usual name. */
    public String label() {
        return label;
    }

    /** The format of a file with this beginning and this end. */
    static ImageFormat detect(byte[] head, byte[] tail) {
        for (ImageFormat format : values()) {
            if (format != RAW && format.matches(format.offsetBytes >= 0 ? head : tail)) {
                return format;
            }
        }
        return RAW;
    }

    /** Whether this is a format of disk images that cannot be opened here, and that others would open as what it is. */
    public boolean isForeign() {
        return switch (this) {
            case RAW, QCOW2, VHD_FIXED, GZIP, XZ, ZSTD -> false;
            default -> true;
        };
    }

    /**
     * Whether a disk whose first sector is this would be opened as another format than raw, here or by QEMU. Allocates nothing.
     *
     * @param address of {@link #HEAD_BYTES} bytes
     */
    static boolean isOtherThanRaw(long address) {
        for (int i = 0; i < PROBED.length; i++) {
            if (PROBED[i].standsAt(address)) {
                return true;
            }
        }
        return false;
    }

    private boolean standsAt(long address) {
        for (int i = 0; i < magicHex.length(); i += 2) {
            int expected = Character.digit(magicHex.charAt(i), 16) << 4 | Character.digit(magicHex.charAt(i + 1), 16);
            if ((NativeMemory.getByte(address + offsetBytes + i / 2) & 0xff) != expected) {
                return false;
            }
        }
        return true;
    }

    private boolean matches(byte[] bytes) {
        int start = offsetBytes >= 0 ? offsetBytes : bytes.length + offsetBytes;
        int end = start + magicHex.length() / 2;
        return start >= 0
                && end <= bytes.length
                && HexFormat.of().formatHex(bytes, start, end).equals(magicHex);
    }
}
