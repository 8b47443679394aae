// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * What a host-managed zoned disk asks of its users: sequential zones are written at their write pointer only.
 *
 * @param zoneBytes size of every zone but the last one, which may be smaller; a power of two
 * @param openMax how many zones may be open at once, 0 for any number
 * @param activeMax how many zones may be open or closed at once, 0 for any number
 * @param maxAppendBytes longest append
 * @param writeGranularityBytes unit of writes to sequential zones
 */
public record ZonedLimits(long zoneBytes, int openMax, int activeMax, long maxAppendBytes, int writeGranularityBytes) {}
