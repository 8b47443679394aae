// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/**
 * What the requests of a session may ask for: the disk's limits, and what device and driver agreed on. A value, fixed while
 * a queue runs.
 *
 * @param readOnly whether everything that writes is refused
 * @param capacity the disk's present size; one of 0 refuses every access
 * @param rangesMax segments of one DISCARD, WRITE_ZEROES or SECURE_ERASE request
 * @param maxDiscardSectors longest segment of a DISCARD; 0 when the feature was not negotiated
 * @param maxWriteZeroesSectors longest segment of a WRITE_ZEROES; 0 when the feature was not negotiated
 * @param maxSecureEraseSectors longest segment of a SECURE_ERASE; 0 when the feature was not negotiated
 * @param secureEraseAlignmentBytes unit of SECURE_ERASE
 * @param lifetime whether GET_LIFETIME was negotiated
 * @param zoned whether ZONED was negotiated
 * @param maxAppendBytes longest ZONE_APPEND
 */
record RequestRules(
        boolean readOnly,
        DiskCapacity capacity,
        int rangesMax,
        long maxDiscardSectors,
        long maxWriteZeroesSectors,
        long maxSecureEraseSectors,
        long secureEraseAlignmentBytes,
        boolean lifetime,
        boolean zoned,
        long maxAppendBytes) {}
