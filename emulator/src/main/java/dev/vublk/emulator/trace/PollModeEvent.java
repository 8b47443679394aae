// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A loop changed how long it polls before it sleeps. Any thread. */
@Name("dev.vublk.PollMode")
@Label("Poll Mode")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class PollModeEvent extends Event {
    @Label("Loop")
    String loop = "";

    @Label("Polling time (ns)")
    long pollNs;

    @Label("Polled items")
    int items;

    private PollModeEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** Records one; ask {@link #isOn} first. */
    public static void record(String loopName, long newPollNs, int itemCount) {
        PollModeEvent event = new PollModeEvent();
        event.loop = loopName;
        event.pollNs = newPollNs;
        event.items = itemCount;
        event.commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(PollModeEvent.class);
    }
}
