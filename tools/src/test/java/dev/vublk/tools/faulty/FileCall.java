// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

/** What is asked of a {@link FaultyDirectory} and can fail, with the number that FUSE has for it (linux/fuse.h, fuse_opcode). */
public enum FileCall {
    LOOKUP(1),
    GETATTR(3),
    /** A new size, among others. */
    SETATTR(4),
    UNLINK(10),
    RENAME(12),
    LINK(13),
    OPEN(14),
    READ(15),
    WRITE(16),
    FSYNC(20),
    /** Of a descriptor being closed. */
    FLUSH(25),
    FSYNC_DIRECTORY(30),
    CREATE(35),
    ALLOCATE(43),
    SEEK(46);

    private static final FileCall[] BY_OPCODE = new FileCall[64];

    static {
        for (FileCall call : values()) {
            BY_OPCODE[call.opcode] = call;
        }
    }

    private final int opcode;

    FileCall(int opcode) {
        this.opcode = opcode;
    }

    /** Null for what never fails on purpose. */
    static @org.jspecify.annotations.Nullable FileCall of(int opcode) {
        return opcode < BY_OPCODE.length ? BY_OPCODE[opcode] : null;
    }
}
