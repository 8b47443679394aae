// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import com.code_intelligence.jazzer.api.HookType;
import com.code_intelligence.jazzer.api.MethodHook;
import dev.vublk.vhostuser.memory.FileMapping;
import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.Virtqueue;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

/**
 * Tells {@link AccessGuard} what the product does with memory and chains. Jazzer's agent calls these at the call sites in the
 * product's classes; which classes those are, scripts/fuzz.sh and the module's pom.xml say.
 */
public final class AccessHooks {
    private static final String HOST_MEMORY = "dev.vublk.vhostuser.memory.HostMemory";
    private static final String FILE_MAPPING = "dev.vublk.vhostuser.memory.FileMapping";
    private static final String SHARED_MAPPING = "dev.vublk.vhostuser.linux.SharedMapping";
    private static final String NATIVE_MEMORY = "dev.vublk.blockdev.linux.NativeMemory";
    private static final String VIRTQUEUE = "dev.vublk.vhostuser.virtqueue.Virtqueue";
    private static final AccessGuard GUARD = AccessGuard.INSTANCE;

    private AccessHooks() {}

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getByte")
    public static void getByte(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onRead((long) arguments[0], Byte.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getU16")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getU16Acquire")
    public static void getU16(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onRead((long) arguments[0], Short.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getInt")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getIntAcquire")
    public static void getInt(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onRead((long) arguments[0], Integer.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getLong")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "getLongAcquire")
    public static void getLong(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onRead((long) arguments[0], Long.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "copyOut")
    public static void copyOut(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onRead((long) arguments[0], (int) arguments[3]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putByte")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putByteRelease")
    public static void putByte(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[0], Byte.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putU16")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putU16Release")
    public static void putU16(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[0], Short.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putInt")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putIntRelease")
    public static void putInt(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[0], Integer.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putLong")
    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "putLongRelease")
    public static void putLong(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[0], Long.BYTES);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "orLong")
    @MethodHook(type = HookType.BEFORE, targetClassName = "dev.vublk.vhostuser.linux.KernelAtomic", targetMethod = "or")
    public static void or(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onOr((long) arguments[0]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "copyIn")
    public static void copyIn(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[2], (int) arguments[3]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = HOST_MEMORY, targetMethod = "fill")
    public static void fill(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onWrite((long) arguments[0], (long) arguments[1]);
    }

    @MethodHook(type = HookType.AFTER, targetClassName = FILE_MAPPING, targetMethod = "map")
    public static void mapped(
            MethodHandle method, @Nullable Object self, Object[] arguments, int id, FileMapping mapping) {
        GUARD.onMapped(mapping, (long) arguments[3]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = FILE_MAPPING, targetMethod = "close")
    public static void unmapped(MethodHandle method, Object self, Object[] arguments, int id) {
        GUARD.onUnmapped((FileMapping) self);
    }

    @MethodHook(type = HookType.AFTER, targetClassName = SHARED_MAPPING, targetMethod = "alias")
    public static void aliased(MethodHandle method, @Nullable Object self, Object[] arguments, int id, Long target) {
        if (target >= 0) {
            GUARD.onAliased(target, (long) arguments[1]);
        }
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = SHARED_MAPPING, targetMethod = "unmap")
    public static void unmappedPages(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onUnmapped((long) arguments[0], (long) arguments[1]);
    }

    @MethodHook(type = HookType.AFTER, targetClassName = NATIVE_MEMORY, targetMethod = "allocate")
    @MethodHook(type = HookType.AFTER, targetClassName = NATIVE_MEMORY, targetMethod = "allocateZeroed")
    public static void allocated(MethodHandle method, @Nullable Object self, Object[] arguments, int id, Long address) {
        GUARD.onAllocated(address, (long) arguments[0]);
    }

    /** Buffers of a chain are kept in memory of our own. */
    @MethodHook(
            type = HookType.AFTER,
            targetClassName = "dev.vublk.vhostuser.virtqueue.IoVectors",
            targetMethod = "allocate")
    public static void allocatedVectors(MethodHandle method, Object self, Object[] arguments, int id, Long address) {
        GUARD.onPassingBlock(address, (int) arguments[0] * 16L);
    }

    /** So is a report of zones. */
    @MethodHook(type = HookType.BEFORE, targetClassName = "dev.vublk.blockdev.ZonedChannel", targetMethod = "report")
    public static void zonesReported(MethodHandle method, Object self, Object[] arguments, int id) {
        GUARD.onPassingBlock((long) arguments[1], 16 + 64L * (int) arguments[2]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = NATIVE_MEMORY, targetMethod = "free")
    public static void freed(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onFreed((long) arguments[0]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = NATIVE_MEMORY, targetMethod = "copy")
    public static void copy(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onTransfer("copy", (long) arguments[0], (long) arguments[2]);
        GUARD.onTransfer("copy", (long) arguments[1], (long) arguments[2]);
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = NATIVE_MEMORY, targetMethod = "zero")
    public static void zero(MethodHandle method, @Nullable Object self, Object[] arguments, int id) {
        GUARD.onTransfer("zeroing", (long) arguments[0], (long) arguments[1]);
    }

    @MethodHook(type = HookType.AFTER, targetClassName = VIRTQUEUE, targetMethod = "pop")
    public static void popped(MethodHandle method, Object self, Object[] arguments, int id, Integer result) {
        if (result == Virtqueue.POPPED) {
            GUARD.onPopped((Virtqueue) self, (DescriptorChain) arguments[0]);
        }
    }

    @MethodHook(type = HookType.BEFORE, targetClassName = VIRTQUEUE, targetMethod = "pushUsed")
    public static void pushed(MethodHandle method, Object self, Object[] arguments, int id) {
        GUARD.onPushed((Virtqueue) self, (DescriptorChain) arguments[0], (int) arguments[1]);
    }
}
