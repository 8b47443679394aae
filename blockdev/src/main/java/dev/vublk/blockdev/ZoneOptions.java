// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * The zones that are to be emulated on an image: a host-managed disk whose zones are all of one size, but for the last
 * one, which may be smaller.
 *
 * @param metadata file that keeps the zones' states, made when it does not exist
 * @param zoneBytes size of a zone, a power of two
 * @param capacityBytes how much of a sequential zone can be written, at most the zone's size; 0 for all of it
 * @param conventionalCount how many zones from the first on are conventional ones, to be written in any order
 * @param openMax how many zones may be open at once, 0 for any number
 * @param activeMax how many zones may be open or closed at once, 0 for any number
 */
public record ZoneOptions(
        String metadata, long zoneBytes, long capacityBytes, int conventionalCount, int openMax, int activeMax) {}
