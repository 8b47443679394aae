// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Coroutines that a pass of a loop resumed. Any thread. */
@Name("dev.vublk.CoroutineSwitches")
@Label("Coroutine Switches")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class CoroutineSwitchesEvent extends Event {
    @Label("Loop")
    String loop = "";

    @Label("Resumed")
    int resumed;

    private CoroutineSwitchesEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** Records one; ask {@link #isOn} first. */
    public static void record(String loopName, int count) {
        CoroutineSwitchesEvent event = new CoroutineSwitchesEvent();
        event.loop = loopName;
        event.resumed = count;
        event.commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(CoroutineSwitchesEvent.class);
    }
}
