// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import org.jspecify.annotations.Nullable;

/**
 * An eventfd whose signal ends the loop's sleep: read on Netty's ring, and asked for only when the loop is about to sleep, so that
 * the request travels with the system call that sleeps. Runs on its IOThread, but for constructor and {@link #free}.
 */
final class SleepSignal implements IoUringIoHandle {
    private static final byte IORING_OP_READ = 22;

    private final int eventFd;
    /** Where the kernel puts the counter; nobody reads it. */
    private final long counter = NativeMemory.allocateZeroed(Long.BYTES);
    /** The same each time, so that asking makes no garbage. */
    private final IoUringIoOps read;

    private @Nullable IoRegistration registration;
    private boolean armed;

    /** Throws {@link IllegalStateException} when there is no descriptor left. */
    SleepSignal() {
        // Blocking: io_uring does not wait for a descriptor that is not.
        eventFd = EventFd.createBlocking();
        if (eventFd < 0) {
            NativeMemory.free(counter);
            throw new IllegalStateException("eventfd: " + Errno.describe(eventFd));
        }
        read = new IoUringIoOps(
                IORING_OP_READ,
                (byte) 0,
                (short) 0,
                eventFd,
                0L,
                counter,
                Long.BYTES,
                0,
                0L,
                (short) 0,
                (short) 0,
                0,
                0L);
    }

    /** What is to be signalled. */
    int eventFd() {
        return eventFd;
    }

    void registeredAs(IoRegistration newRegistration) {
        registration = newRegistration;
    }

    /** The next signal, or one that came since the last sleep, ends the sleep that begins now. */
    void arm() {
        IoRegistration present = registration;
        if (!armed && present != null) {
            armed = true;
            present.submit(read);
        }
    }

    @Override
    public void handle(IoRegistration from, IoEvent event) {
        armed = false; // Having ended the sleep it has done its work.
    }

    /** The loop ends: nothing may be left that Netty's ring would wait for. */
    @Override
    public void close() {
        if (armed) {
            EventFd.signal(eventFd);
        }
    }

    /** Gives descriptor and memory back, once the loop's thread is gone and nobody signals any more. */
    void free() {
        EventFd.close(eventFd);
        NativeMemory.free(counter);
    }
}
