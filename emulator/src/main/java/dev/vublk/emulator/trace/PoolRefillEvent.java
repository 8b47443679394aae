// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A loop had no idle coroutine left: it took a batch from the global pool, or created one. Any thread. */
@Name("dev.vublk.PoolRefill")
@Label("Coroutine Pool Refill")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class PoolRefillEvent extends Event {
    @Label("Taken from the global pool")
    int taken;

    @Label("Created")
    int created;

    private PoolRefillEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** Records one; ask {@link #isOn} first. */
    public static void record(int takenCount, int createdCount) {
        PoolRefillEvent event = new PoolRefillEvent();
        event.taken = takenCount;
        event.created = createdCount;
        event.commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(PoolRefillEvent.class);
    }
}
