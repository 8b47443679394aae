// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestVector;
import java.util.Arrays;
import java.util.Random;

/** Random requests to a disk and to an array beside it; each read must find what the array holds. */
public final class RandomRequests {
    private static final int SECTOR_BYTES = 512;

    /** More than a bounce buffer, so that pieces are needed. */
    private static final int MAX_REQUEST_SECTORS = 2500;

    private final TestDisk disk;
    private final Random random;
    private final String seed;
    private final byte[] model;

    public RandomRequests(TestDisk disk, long seed, byte[] model) {
        this.disk = disk;
        this.random = new Random(seed);
        this.seed = "seed " + seed;
        this.model = model;
        System.out.println("RandomRequests " + this.seed);
    }

    public byte[] model() {
        return model;
    }

    public void run(int steps) {
        for (int i = 0; i < steps; i++) {
            step();
        }
        assertThat(disk.flush()).as(seed).isZero();
        assertThat(disk.read(0, model.length)).as(seed).isEqualTo(model);
    }

    private void step() {
        int most = random.nextInt(4) == 0 ? MAX_REQUEST_SECTORS : 40;
        int sectors = 1 + random.nextInt(Math.min(most, model.length / SECTOR_BYTES));
        int lengthBytes = sectors * SECTOR_BYTES;
        int offsetBytes = random.nextInt((model.length - lengthBytes) / SECTOR_BYTES + 1) * SECTOR_BYTES;
        switch (random.nextInt(9)) {
            case 0, 1, 2 -> read(offsetBytes, lengthBytes);
            case 3, 4, 5 -> write(offsetBytes, lengthBytes);
            case 6 -> zero(offsetBytes, lengthBytes);
            case 7 -> discard(offsetBytes, lengthBytes);
            default -> assertThat(disk.flush()).as(seed).isZero();
        }
    }

    private void read(int offsetBytes, int lengthBytes) {
        try (TestVector vector = TestVector.random(random, lengthBytes)) {
            assertThat(disk.read(offsetBytes, vector)).as(seed).isZero();
            assertThat(vector.get())
                    .as(seed + " read at " + offsetBytes)
                    .isEqualTo(Arrays.copyOfRange(model, offsetBytes, offsetBytes + lengthBytes));
        }
    }

    private void write(int offsetBytes, int lengthBytes) {
        byte[] data = new byte[lengthBytes];
        random.nextBytes(data);
        try (TestVector vector = TestVector.random(random, lengthBytes)) {
            assertThat(disk.write(offsetBytes, vector.put(data), random.nextBoolean()))
                    .as(seed)
                    .isZero();
        }
        System.arraycopy(data, 0, model, offsetBytes, lengthBytes);
    }

    private void zero(int offsetBytes, int lengthBytes) {
        assertThat(disk.writeZeroes(offsetBytes, lengthBytes, random.nextBoolean(), random.nextBoolean()))
                .as(seed)
                .isZero();
        Arrays.fill(model, offsetBytes, offsetBytes + lengthBytes, (byte) 0);
    }

    /** What a discarded range holds is unknown, so the array learns it from the disk; the rest must stay. */
    private void discard(int offsetBytes, int lengthBytes) {
        assertThat(disk.discard(offsetBytes, lengthBytes)).as(seed).isZero();
        byte[] now = disk.read(offsetBytes, lengthBytes);
        System.arraycopy(now, 0, model, offsetBytes, lengthBytes);
    }
}
