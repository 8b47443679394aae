// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.blockdev.DiskLifetime;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * What a user chooses about a virtio-blk device.
 *
 * @param serial what GET_ID answers, at most 20 bytes of UTF-8
 * @param queueCountMax how many queues are offered, at least 1
 * @param queueSizeMax the largest queue accepted, a power of two
 * @param packedRings whether packed rings are offered
 * @param segmentMax data segments of one request ({@code seg_max}), at least 1
 * @param discard whether DISCARD is offered when the disk supports it
 * @param writeZeroes whether WRITE_ZEROES is offered
 * @param rangesMax segments of one DISCARD, WRITE_ZEROES or SECURE_ERASE request, at least 1
 * @param secureErase whether SECURE_ERASE is offered when the disk supports it
 * @param geometry cylinders, heads and sectors to tell; null for those that follow from the size
 * @param lifetime wear to tell; null for what the disk itself tells, {@link DiskLifetime#UNKNOWN} for none
 */
public record VirtioBlkSettings(
        String serial,
        int queueCountMax,
        int queueSizeMax,
        boolean packedRings,
        int segmentMax,
        boolean discard,
        boolean writeZeroes,
        int rangesMax,
        boolean secureErase,
        @Nullable DiskGeometry geometry,
        @Nullable DiskLifetime lifetime) {

    /** Without secure erase; geometry and wear as the disk has them. */
    public VirtioBlkSettings(
            String serial,
            int queueCountMax,
            int queueSizeMax,
            boolean packedRings,
            int segmentMax,
            boolean discard,
            boolean writeZeroes,
            int rangesMax) {
        this(
                serial,
                queueCountMax,
                queueSizeMax,
                packedRings,
                segmentMax,
                discard,
                writeZeroes,
                rangesMax,
                false,
                null,
                null);
    }

    /** The serial as the guest gets it: 20 bytes, NUL-padded (virtio 1.2 section 5.2.6). */
    byte[] serialBytes() {
        byte[] utf8 = serial.getBytes(StandardCharsets.UTF_8);
        byte[] padded = new byte[VirtioBlkSpec.ID_BYTES];
        System.arraycopy(utf8, 0, padded, 0, Math.min(utf8.length, padded.length));
        return padded;
    }
}
