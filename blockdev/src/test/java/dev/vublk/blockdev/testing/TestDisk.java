// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import java.nio.file.Path;

/** An opened disk with one channel, spoken to in byte arrays. */
public final class TestDisk implements AutoCloseable {
    public final BlockDriver driver;
    public final BlockChannel channel;
    public final PlainLoop loop;

    public TestDisk(BlockOptions options, PlainLoop loop) throws BlockOpenException {
        this.driver = BlockDrivers.open(options);
        this.loop = loop;
        this.channel = driver.openChannel(loop);
    }

    public static BlockOptions options(Path image) {
        return BlockOptions.of(image.toString());
    }

    public static BlockOptions options(Path image, CacheMode cacheMode) {
        return options(image, cacheMode, IoEngine.AUTO);
    }

    public static BlockOptions options(Path image, CacheMode cacheMode, IoEngine engine) {
        return BlockOptions.of(image.toString()).withCacheMode(cacheMode).withEngine(engine);
    }

    public static BlockOptions readOnly(Path image, CacheMode cacheMode) {
        return BlockOptions.of(image.toString()).withReadOnly(true).withCacheMode(cacheMode);
    }

    public int write(long offsetBytes, byte[] data, boolean fua) {
        try (TestVector vector = TestVector.of(data.length)) {
            return write(offsetBytes, vector.put(data), fua);
        }
    }

    public int write(long offsetBytes, TestVector vector, boolean fua) {
        int result =
                loop.run(() -> channel.writev(offsetBytes, vector.iov(), vector.count(), vector.lengthBytes(), fua));
        vector.checkUnchanged();
        return result;
    }

    public int read(long offsetBytes, TestVector vector) {
        int result = loop.run(() -> channel.readv(offsetBytes, vector.iov(), vector.count(), vector.lengthBytes()));
        vector.checkUnchanged();
        return result;
    }

    /** Reads, or throws when that fails. */
    public byte[] read(long offsetBytes, int lengthBytes) {
        try (TestVector vector = TestVector.of(lengthBytes)) {
            int result = read(offsetBytes, vector);
            if (result != 0) {
                throw new AssertionError("read failed: " + result);
            }
            return vector.get();
        }
    }

    public int flush() {
        return loop.run(channel::flush);
    }

    public int discard(long offsetBytes, long lengthBytes) {
        return loop.run(() -> channel.discard(offsetBytes, lengthBytes));
    }

    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        return loop.run(() -> channel.writeZeroes(offsetBytes, lengthBytes, mayUnmap, fua));
    }

    @Override
    public void close() {
        channel.close();
        driver.close();
    }
}
