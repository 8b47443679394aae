// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/**
 * Formats that a file's first (or last) bytes give away. Only for telling a person that an image is probably not raw:
 * images are opened as raw whatever they begin with.
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

    private boolean matches(byte[] bytes) {
        int start = offsetBytes >= 0 ? offsetBytes : bytes.length + offsetBytes;
        int end = start + magicHex.length() / 2;
        return start >= 0
                && end <= bytes.length
                && HexFormat.of().formatHex(bytes, start, end).equals(magicHex);
    }
}
