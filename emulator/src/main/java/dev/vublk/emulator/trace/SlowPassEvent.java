// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A pass of a loop took longer than a millisecond: something blocked it, or it had too much to do. Any thread. */
@Name("dev.vublk.SlowPass")
@Label("Slow Pass")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class SlowPassEvent extends Event {
    @Label("Loop")
    String loop = "";

    @Label("What ran")
    String ran = "";

    @Label("Duration (ns)")
    long durationNs;

    private SlowPassEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** Records one; ask {@link #isOn} first. */
    public static void record(String loopName, String whatRan, long tookNs) {
        SlowPassEvent event = new SlowPassEvent();
        event.loop = loopName;
        event.ran = whatRan;
        event.durationNs = tookNs;
        event.commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(SlowPassEvent.class);
    }
}
