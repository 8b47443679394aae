// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static dev.vublk.emulator.GuestRequest.*;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Random requests, a round of them at a time: those of a round are in flight together and do not disturb one another. */
final class RequestPlan {
    private static final int SECTORS_MAX = 48;
    private static final int REQUESTS_PER_ROUND_MAX = 32;

    /** No type, but a flag that old drivers set in one. */
    static final int BARRIER_FLAG = 0x8000_0000;

    /** The frequent ones several times; 2, 12, 99 and the flag alone are of no request. */
    private static final int[] TYPES = {
        IN, IN, IN, IN, OUT, OUT, OUT, OUT, FLUSH, DISCARD, WRITE_ZEROES, WRITE_ZEROES, GET_ID, 2, 12, 99, BARRIER_FLAG
    };

    private final Random random;
    private final int diskSectors;
    private final int queues;

    RequestPlan(long seed, int diskSectors, int queues) {
        random = new Random(seed);
        this.diskSectors = diskSectors;
        this.queues = queues;
    }

    List<PlannedRequest> nextRound() {
        List<PlannedRequest> round = new ArrayList<>();
        for (int left = 1 + random.nextInt(REQUESTS_PER_ROUND_MAX); left > 0; left--) {
            PlannedRequest next = next();
            if (round.stream().noneMatch(next::disturbs)) {
                round.add(next);
            }
        }
        return round;
    }

    private PlannedRequest next() {
        int type = TYPES[random.nextInt(TYPES.length)];
        int sectors = random.nextInt(SECTORS_MAX);
        int bytes = sectors * PlannedRequest.SECTOR_BYTES;
        if ((type == IN || type == OUT) && random.nextInt(12) == 0) {
            bytes += 1 + random.nextInt(511); // No whole sectors.
        }
        if (type == GET_ID) {
            bytes = random.nextInt(4) == 0 ? random.nextInt(40) : 20;
        }
        byte[] data = new byte[type == OUT ? bytes : 0];
        random.nextBytes(data);
        boolean plain = random.nextInt(3) != 0;
        return new PlannedRequest(
                random.nextInt(queues),
                type,
                sector(sectors),
                bytes,
                type == DISCARD || type == WRITE_ZEROES ? sectors : 0,
                type == WRITE_ZEROES ? random.nextInt(2) : 0,
                data,
                plain ? new int[0] : cuts(),
                plain ? new int[0] : cuts(),
                random.nextBoolean(),
                new int[] {0, 0, 0, 1, 8, 512}[random.nextInt(6)]);
    }

    /** Mostly on the disk, now and then at its end, across it, behind it, or where no sum of sectors goes. */
    private long sector(int sectors) {
        return switch (random.nextInt(24)) {
            case 0 -> diskSectors - sectors;
            case 1 -> diskSectors - sectors + 1L;
            case 2 -> diskSectors;
            case 3 -> diskSectors + (long) random.nextInt(1 << 20);
            case 4 -> Long.MAX_VALUE >>> random.nextInt(20);
            default -> random.nextInt(diskSectors - SECTORS_MAX);
        };
    }

    /** Lengths of pieces that a request is cut into. */
    private int[] cuts() {
        int[] cuts = new int[random.nextInt(5)];
        for (int i = 0; i < cuts.length; i++) {
            cuts[i] = random.nextInt(4) == 0 ? 1 + random.nextInt(30) : 512 * (1 + random.nextInt(16));
        }
        return cuts;
    }
}
