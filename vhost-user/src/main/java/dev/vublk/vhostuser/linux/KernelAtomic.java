// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

/**
 * An atomic operation on shared memory that the kernel carries out, for memory that may vanish under us: the answer is then
 * an errno. The JVM's own atomic operations end the process there while they are interpreted (plain accesses do not, nor do
 * compiled ones). Any thread; allocates nothing.
 *
 * <p>{@code FUTEX_WAKE_OP} is for wait queues, but its first half is an operation on a word of memory and its second half
 * wakes nobody when nobody waits.
 */
public final class KernelAtomic {
    private static final long SYS_FUTEX = System.getProperty("os.arch").equals("aarch64") ? 98 : 202;
    private static final int FUTEX_WAKE_OP = 5;
    private static final int FUTEX_PRIVATE_FLAG = 128;

    // FUTEX_OP(op, oparg, cmp, cmparg): op 4 bits from 28, cmp 4 bits from 24, oparg 12 bits from 12, cmparg 12 bits.
    private static final int FUTEX_OP_OR = 2 << 28;
    /** The operand is {@code 1 << oparg}; without it a signed number of 12 bits. */
    private static final int FUTEX_OP_ARG_SHIFT = 8 << 28;

    private static final int OPARG = 12;
    private static final int MINUS_ONE = 0xfff << OPARG;

    private KernelAtomic() {}

    /** Sets the bits of {@code mask} in the int at a 4-byte aligned address. 0, or a negative errno: some may be set. */
    public static int or(long address, int mask) {
        if (mask == -1) {
            return apply(address, FUTEX_OP_OR | MINUS_ONE);
        }
        int result = 0;
        for (int left = mask; left != 0 && result == 0; left &= left - 1) {
            result = apply(address, FUTEX_OP_OR | FUTEX_OP_ARG_SHIFT | Integer.numberOfTrailingZeros(left) << OPARG);
        }
        return result;
    }

    private static int apply(long address, int operation) {
        // futex(uaddr, op, wake at most, wake at most at uaddr2, uaddr2, operation); nobody waits at either.
        long woken = LibC.INSTANCE.syscall(
                SYS_FUTEX, address, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, address, operation & 0xffffffffL);
        return (int) Math.min(LibC.check(woken), 0);
    }
}
