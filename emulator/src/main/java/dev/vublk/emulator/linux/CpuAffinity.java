// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * A set of CPUs that a thread may run on: {@code sched_setaffinity(2)} for the calling thread. A value; any thread.
 *
 * <p>A new thread inherits the set of the thread that creates it.
 */
public final class CpuAffinity {
    /** The kernel's {@code CONFIG_NR_CPUS} is at most 8192; a shorter mask would fail on such a machine. */
    private static final int CPUS_MAX = 8192;

    /** For system calls: the calling thread. */
    private static final int SELF = 0;

    private final BitSet cpus;

    private CpuAffinity(BitSet cpus) {
        this.cpus = cpus;
    }

    /** The set of the given CPUs, at least one. */
    public static CpuAffinity of(int... cpus) {
        BitSet set = new BitSet();
        for (int cpu : cpus) {
            set.set(check(cpu));
        }
        return nonEmpty(set, "");
    }

    /**
     * Reads the kernel's list format: {@code 0-3,8}.
     *
     * @throws IllegalArgumentException when {@code list} has another form or names no CPU
     */
    public static CpuAffinity parse(String list) {
        BitSet set = new BitSet();
        for (String range : list.split(",", -1)) {
            String[] ends = range.strip().split("-", -1);
            if (ends.length > 2) {
                throw new IllegalArgumentException("not a CPU list: '" + list + "'");
            }
            int first = parseCpu(ends[0], list);
            int last = ends.length == 2 ? parseCpu(ends[1], list) : first;
            if (last < first) {
                throw new IllegalArgumentException("not a CPU list, a range runs backwards: '" + list + "'");
            }
            set.set(first, last + 1);
        }
        return nonEmpty(set, list);
    }

    private static int parseCpu(String text, String list) {
        try {
            return check(Integer.parseInt(text));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("not a CPU list: '" + list + "'", e);
        }
    }

    private static int check(int cpu) {
        if (cpu < 0 || cpu >= CPUS_MAX) {
            throw new IllegalArgumentException("CPU " + cpu + " is not within 0-" + (CPUS_MAX - 1));
        }
        return cpu;
    }

    private static CpuAffinity nonEmpty(BitSet set, String list) {
        if (set.isEmpty()) {
            throw new IllegalArgumentException("no CPU in '" + list + "'");
        }
        return new CpuAffinity(set);
    }

    /** The CPUs that the calling thread may run on. */
    public static CpuAffinity ofCallingThread() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mask = arena.allocate(CPUS_MAX / Byte.SIZE, Long.BYTES);
            int result = SchedLibC.check(SchedLibC.INSTANCE.sched_getaffinity(SELF, mask.byteSize(), mask.address()));
            if (result < 0) {
                throw new IllegalStateException("sched_getaffinity: errno " + -result);
            }
            return new CpuAffinity(BitSet.valueOf(mask.toArray(ValueLayout.JAVA_LONG)));
        }
    }

    /**
     * Lets the calling thread, and the threads it creates from now on, run on these CPUs only.
     *
     * @return 0 or a negative errno: {@code EINVAL} when the process may use none of these CPUs
     */
    public int applyToCallingThread() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mask = arena.allocate(CPUS_MAX / Byte.SIZE, Long.BYTES);
            MemorySegment.copy(cpus.toLongArray(), 0, mask, ValueLayout.JAVA_LONG, 0, cpus.toLongArray().length);
            return SchedLibC.check(SchedLibC.INSTANCE.sched_setaffinity(SELF, mask.byteSize(), mask.address()));
        }
    }

    public boolean contains(int cpu) {
        return cpus.get(cpu);
    }

    /** This set without {@code cpu}; this set itself when nothing would be left. */
    public CpuAffinity without(int cpu) {
        BitSet rest = (BitSet) cpus.clone();
        rest.clear(cpu);
        return rest.isEmpty() ? this : new CpuAffinity(rest);
    }

    /** Whether a CPU is in both sets. */
    public boolean intersects(CpuAffinity other) {
        return cpus.intersects(other.cpus);
    }

    /** How many CPUs are in the set. */
    public int count() {
        return cpus.cardinality();
    }

    /** The lowest CPU of the set. */
    public int first() {
        return cpus.nextSetBit(0);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof CpuAffinity affinity && cpus.equals(affinity.cpus);
    }

    @Override
    public int hashCode() {
        return cpus.hashCode();
    }

    /** The kernel's list format, as {@link #parse} reads it. */
    @Override
    public String toString() {
        StringBuilder list = new StringBuilder();
        for (int first = cpus.nextSetBit(0); first >= 0; ) {
            int end = cpus.nextClearBit(first);
            list.append(list.isEmpty() ? "" : ",").append(first);
            if (end - first > 1) {
                list.append('-').append(end - 1);
            }
            first = cpus.nextSetBit(end);
        }
        return list.toString();
    }
}
