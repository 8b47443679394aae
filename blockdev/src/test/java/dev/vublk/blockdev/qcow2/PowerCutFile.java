// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** A file whose power fails before one of its writes: any sectors written since the last sync may be there or not. */
final class PowerCutFile extends OfflineFile {
    private static final int SECTOR_BYTES = 512;

    private final Path path;
    private final Random random;
    private final List<Write> pending = new ArrayList<>();
    private byte[] stable;
    private int writesLeft;

    /** What was written since the last sync. */
    private static final class Write {
        private final long offset;
        private final byte[] bytes;

        Write(long offset, byte[] bytes) {
            this.offset = offset;
            this.bytes = bytes;
        }
    }

    /** The power is gone. */
    static final class PowerCut extends IOException {
        private static final long serialVersionUID = 1L;
    }

    PowerCutFile(OfflineFile file, int writesLeft, Random random) throws IOException {
        super(file.fd(), file.name());
        path = Path.of(file.name());
        stable = Files.readAllBytes(path);
        this.writesLeft = writesLeft;
        this.random = random;
    }

    @Override
    public void write(long address, long offsetBytes, int lengthBytes) throws IOException {
        use();
        byte[] bytes = new byte[lengthBytes];
        NativeMemory.get(address, bytes, 0, lengthBytes);
        pending.add(new Write(offsetBytes, bytes));
        super.write(address, offsetBytes, lengthBytes);
    }

    @Override
    public void sync() throws IOException {
        use();
        stable = Files.readAllBytes(path);
        pending.clear();
    }

    private void use() throws IOException {
        if (writesLeft-- <= 0) {
            throw new PowerCut();
        }
    }

    /** What the disk holds after the power came back. */
    void leave(Path image) throws IOException {
        byte[] left = stable;
        for (Write write : pending) {
            for (int at = 0; at < write.bytes.length; at += SECTOR_BYTES) {
                if (random.nextBoolean()) {
                    int length = Math.min(SECTOR_BYTES, write.bytes.length - at);
                    int offset = Math.toIntExact(write.offset + at);
                    left = left.length < offset + length ? Arrays.copyOf(left, offset + length) : left;
                    System.arraycopy(write.bytes, at, left, offset, length);
                }
            }
        }
        Files.write(image, left);
    }
}
