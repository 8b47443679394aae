// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.PlainLoop;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * A file in memory on a disk with a volatile write cache that writes 512-byte units as a whole or not at all. Shows what is
 * there now, which is what a killed process leaves, and what a power cut now could leave. Thread-safe.
 */
final class VolatileFile {
    static final int UNIT_BYTES = 512;
    private static final byte[] ZEROES = new byte[UNIT_BYTES];

    private byte[][] units = grown(new byte[0][], 1024);
    private long usedUnits;
    private long sizeBytes;
    private final Map<Integer, List<Version>> unstable = new HashMap<>();
    private List<Size> unstableSizes = new ArrayList<>();
    private byte[][] stableUnits = units.clone();
    private long stableSize;
    private long applied;

    /** Barriers of this class are left out: a planted fault. */
    private volatile String forgetsBarriersOf = "";

    /** Holes are not filled when the file would then take more bytes than this: ENOSPC. */
    private volatile long spaceMax = Long.MAX_VALUE;

    /** One in so many calls fails with EIO; 0 for none. */
    private volatile int failsOneIn;

    /** The one call that does everything and yet fails comes after so many more; -1 for none. */
    private final AtomicInteger failsAfter = new AtomicInteger(-1);

    private final Random faults;

    /** Runs after each blocking call. */
    private volatile Runnable observer = () -> {};

    /** Runs before each call from a loop, which it holds up. */
    private volatile Runnable gate = () -> {};

    private VolatileFile(long seed) {
        faults = new Random(seed);
    }

    private static final class Version {
        final byte[] content;
        final long number;

        Version(byte[] content, long number) {
            this.content = content;
            this.number = number;
        }
    }

    private record Size(long bytes, long number) {}

    static VolatileFile of(Path image, long seed) throws IOException {
        VolatileFile file = new VolatileFile(seed);
        byte[] content = Files.readAllBytes(image);
        file.write(0, content, 0, content.length);
        file.size(content.length);
        file.settle();
        return file;
    }

    void forgetBarriersOf(String className) {
        forgetsBarriersOf = className;
    }

    void observe(Runnable newObserver) {
        observer = newObserver;
    }

    void holdUp(Runnable newGate) {
        gate = newGate;
    }

    void limitSpace(long bytes) {
        spaceMax = bytes;
    }

    void failOneIn(int calls) {
        failsOneIn = calls;
    }

    /** Of the calls from a loop that follow, the one behind so many succeeds and says that it did not. */
    void failAfter(int calls) {
        failsAfter.set(calls);
    }

    private boolean failsNow() {
        return failsAfter.get() >= 0 && failsAfter.getAndDecrement() == 0;
    }

    /** Everything is stable. */
    synchronized void settle() {
        unstable.clear();
        unstableSizes.clear();
        stableUnits = units.clone();
        stableSize = sizeBytes;
    }

    private synchronized boolean fails() {
        return failsOneIn > 0 && faults.nextInt(failsOneIn) == 0;
    }

    private byte[] unit(int index) {
        return index < units.length ? units[index] : ZEROES;
    }

    private static byte[][] grown(byte[][] units, int atLeast) {
        byte[][] grown = Arrays.copyOf(units, Math.max(atLeast, 2 * units.length));
        Arrays.fill(grown, units.length, grown.length, ZEROES);
        return grown;
    }

    /** Whether there is a hole. */
    @SuppressWarnings("ReferenceEquality") // what was never written, or punched
    private static boolean isHole(byte[] content) {
        return content == ZEROES;
    }

    private void set(int index, byte[] content) {
        if (index >= units.length) {
            units = grown(units, index + 1);
        }
        usedUnits += (isHole(content) ? 0 : 1) - (isHole(units[index]) ? 0 : 1);
        units[index] = content;
        unstable.computeIfAbsent(index, key -> new ArrayList<>()).add(new Version(content, applied++));
    }

    private void size(long bytes) {
        if (bytes < sizeBytes) {
            for (int i = (int) (bytes / UNIT_BYTES); i < units.length; i++) {
                if (!isHole(units[i])) {
                    set(i, ZEROES); // Image sizes are whole units when they shrink.
                }
            }
        }
        sizeBytes = bytes;
        unstableSizes.add(new Size(bytes, applied++));
    }

    private synchronized void write(long offset, byte[] source, int from, int length) {
        int done = 0;
        while (done < length) {
            int index = (int) ((offset + done) / UNIT_BYTES);
            int inUnit = (int) ((offset + done) % UNIT_BYTES);
            int step = Math.min(UNIT_BYTES - inUnit, length - done);
            byte[] content = unit(index).clone();
            System.arraycopy(source, from + done, content, inUnit, step);
            set(index, content);
            done += step;
        }
        if (offset + length > sizeBytes) {
            size(offset + length);
        }
    }

    synchronized long usedBytes() {
        return usedUnits * UNIT_BYTES;
    }

    /** How many bytes from an offset on find room, up to {@code length}: whole units. */
    private synchronized int roomFor(long offset, int length) {
        if (spaceMax == Long.MAX_VALUE) {
            return length;
        }
        long room = spaceMax - usedBytes();
        for (int done = 0; done < length; done += UNIT_BYTES) {
            if (isHole(unit((int) ((offset + done) / UNIT_BYTES)))) {
                room -= UNIT_BYTES;
                if (room < 0) {
                    return done;
                }
            }
        }
        return length;
    }

    private synchronized void read(long offset, byte[] target) {
        int done = 0;
        while (done < target.length) {
            int inUnit = (int) ((offset + done) % UNIT_BYTES);
            int step = Math.min(UNIT_BYTES - inUnit, target.length - done);
            System.arraycopy(unit((int) ((offset + done) / UNIT_BYTES)), inUnit, target, done, step);
            done += step;
        }
    }

    private synchronized void makeStable(long offset, long length) {
        for (long at = offset; at < offset + length; at += UNIT_BYTES) {
            stabilize((int) (at / UNIT_BYTES), Long.MAX_VALUE);
        }
        stableSize = Math.max(stableSize, Math.min(sizeBytes, offset + length));
    }

    private void stabilize(int index, long before) {
        List<Version> versions = unstable.get(index);
        while (versions != null && !versions.isEmpty() && versions.getFirst().number < before) {
            byte[] content = versions.removeFirst().content;
            if (index >= stableUnits.length) {
                stableUnits = grown(stableUnits, index + 1);
            }
            stableUnits[index] = content;
        }
        if (versions != null && versions.isEmpty()) {
            unstable.remove(index);
        }
    }

    private synchronized long now() {
        return applied;
    }

    private synchronized void sync(long begunAt) {
        for (int index : new ArrayList<>(unstable.keySet())) {
            stabilize(index, begunAt);
        }
        while (!unstableSizes.isEmpty() && unstableSizes.getFirst().number < begunAt) {
            stableSize = unstableSizes.removeFirst().bytes;
        }
    }

    private boolean isForgotten() {
        String forgets = forgetsBarriersOf;
        return !forgets.isEmpty()
                && StackWalker.getInstance()
                        .walk(frames -> frames.anyMatch(
                                frame -> (frame.getClassName() + "." + frame.getMethodName()).contains(forgets)));
    }

    /** What is there now, as a file. */
    synchronized void write(Path target) throws IOException {
        write(target, units.clone(), sizeBytes);
    }

    /** What a power cut now could leave, as a file. */
    synchronized void writeAfterCut(Path target, Random random) throws IOException {
        byte[][] left = grown(stableUnits, units.length);
        // Now and then everything, or nothing, of what is unstable; else any mixture.
        int kind = random.nextInt(6);
        for (Map.Entry<Integer, List<Version>> entry : unstable.entrySet()) {
            List<Version> versions = entry.getValue();
            int kept = switch (kind) {
                case 0 -> 0;
                case 1 -> versions.size();
                default -> random.nextInt(versions.size() + 1);
            };
            if (kept > 0) {
                left[entry.getKey()] = versions.get(kept - 1).content;
            }
        }
        int sizes = random.nextInt(unstableSizes.size() + 1);
        write(target, left, sizes == 0 ? stableSize : unstableSizes.get(sizes - 1).bytes);
    }

    private static void write(Path target, byte[][] content, long size) throws IOException {
        Files.deleteIfExists(target);
        try (FileChannel channel = FileChannel.open(target, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (int i = 0; i < content.length && (long) i * UNIT_BYTES < size; i++) {
                if (!isHole(content[i])) {
                    int length = (int) Math.min(UNIT_BYTES, size - (long) i * UNIT_BYTES);
                    channel.write(ByteBuffer.wrap(content[i], 0, length), (long) i * UNIT_BYTES);
                }
            }
            if (channel.size() < size) {
                channel.write(ByteBuffer.wrap(new byte[1]), size - 1);
            }
        }
    }

    /** The file on one loop. */
    MetadataFile on(PlainLoop loop) {
        return new OnLoop(loop);
    }

    /** Blocking, for a time when no loop is there. */
    MetadataFile blocking() {
        return new OnLoop(null);
    }

    private final class OnLoop implements MetadataFile {
        private final @Nullable PlainLoop loop;
        private final LoopQueue queue;

        OnLoop(@Nullable PlainLoop loop) {
            this.loop = loop;
            this.queue = new LoopQueue(loop == null ? PlainLoop.withRing() : loop);
        }

        private int call(IoContext.BlockingCall call) {
            if (loop == null) {
                int result = call.run();
                observer.run();
                return result;
            }
            return loop.runBlocking(() -> {
                gate.run();
                if (faults.nextInt(4) == 0) {
                    LockSupport.parkNanos(1);
                }
                if (failsNow()) {
                    call.run();
                    return -Errno.EIO;
                }
                return fails() ? failed(call) : call.run();
            });
        }

        /** A call that failed has done nothing, or everything all the same. */
        private int failed(IoContext.BlockingCall call) {
            if (faults.nextBoolean()) {
                call.run();
            }
            return -Errno.EIO;
        }

        @Override
        public int read(long offsetBytes, long address, int lengthBytes) {
            return call(() -> {
                byte[] bytes = new byte[lengthBytes];
                VolatileFile.this.read(offsetBytes, bytes);
                NativeMemory.put(bytes, 0, address, lengthBytes);
                return 0;
            });
        }

        @Override
        public int write(long offsetBytes, long address, int lengthBytes, boolean stable) {
            boolean forgotten = stable && isForgotten();
            return call(() -> {
                byte[] bytes = new byte[lengthBytes];
                NativeMemory.get(address, bytes, 0, lengthBytes);
                return put(offsetBytes, bytes, stable && !forgotten);
            });
        }

        private int put(long offset, byte[] bytes, boolean stable) {
            int room = roomFor(offset, bytes.length);
            if (room < bytes.length) {
                VolatileFile.this.write(offset, bytes, 0, room);
                return -Errno.ENOSPC;
            }
            int half = bytes.length / 2 & -UNIT_BYTES;
            VolatileFile.this.write(offset, bytes, 0, half);
            if (fails()) {
                return -Errno.EIO;
            }
            VolatileFile.this.write(offset + half, bytes, half, bytes.length - half);
            if (stable) {
                makeStable(offset, bytes.length);
            }
            return 0;
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean stable) {
            return call(() -> {
                byte[] bytes = new byte[(int) lengthBytes];
                int done = 0;
                for (int i = 0; i < iovCount; i++) {
                    long iov = iovAddress + (long) i * Iovec.SIZE_BYTES;
                    NativeMemory.get(Iovec.base(iov), bytes, done, (int) Iovec.length(iov));
                    done += (int) Iovec.length(iov);
                }
                return done == bytes.length ? put(offsetBytes, bytes, stable) : -Errno.EINVAL;
            });
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes) {
            return call(() -> {
                synchronized (VolatileFile.this) {
                    for (long at = offsetBytes; at < Math.min(sizeBytes, offsetBytes + lengthBytes); at += UNIT_BYTES) {
                        set((int) (at / UNIT_BYTES), ZEROES);
                    }
                }
                return 0;
            });
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            return writeZeroes(offsetBytes, lengthBytes);
        }

        @Override
        public int truncate(long bytes) {
            return call(() -> {
                synchronized (VolatileFile.this) {
                    size(bytes);
                }
                return 0;
            });
        }

        @Override
        public int flush() {
            boolean forgotten = isForgotten();
            long begunAt = now();
            return call(() -> {
                if (!forgotten) {
                    sync(begunAt);
                }
                return 0;
            });
        }

        @Override
        public long sizeBytes() {
            synchronized (VolatileFile.this) {
                return sizeBytes;
            }
        }

        @Override
        public LoopQueue queue() {
            return queue;
        }
    }
}
