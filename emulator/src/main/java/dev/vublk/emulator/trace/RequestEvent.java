// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A guest's request, from when it was taken off the ring to its status. Runs on the queue's IOThread. */
@Name("dev.vublk.Request")
@Label("Request")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class RequestEvent extends Event {
    @Label("Queue")
    String queue = "";

    @Label("Type")
    int type;

    @Label("Offset (bytes)")
    long offset;

    @Label("Data (bytes)")
    long data;

    @Label("Status")
    int status;

    private RequestEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** A request begins; ask {@link #isOn} first. */
    public static RequestEvent started() {
        RequestEvent event = new RequestEvent();
        event.begin();
        return event;
    }

    /** The request has its status. */
    public void finished(String queueLabel, int requestType, long offsetBytes, long dataBytes, int requestStatus) {
        end();
        queue = queueLabel;
        type = requestType;
        offset = offsetBytes;
        data = dataBytes;
        status = requestStatus;
        commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(RequestEvent.class);
    }
}
