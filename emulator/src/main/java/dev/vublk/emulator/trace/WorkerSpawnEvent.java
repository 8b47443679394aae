// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.Category;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.EventType;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A worker thread was created. Any thread. */
@Name("dev.vublk.WorkerSpawn")
@Label("Worker Spawn")
@Category("vublk")
@Enabled(false)
@StackTrace(false)
public final class WorkerSpawnEvent extends Event {
    @Label("Worker")
    String worker = "";

    @Label("Latency (ns)")
    long latencyNs;

    private WorkerSpawnEvent() {}

    /** Whether somebody records these events; ask {@link FlightRecording#isOn} first. */
    public static boolean isOn() {
        return Type.TYPE.isEnabled();
    }

    /** Records one; ask {@link #isOn} first. */
    public static void record(String workerName, long spawnLatencyNs) {
        WorkerSpawnEvent event = new WorkerSpawnEvent();
        event.worker = workerName;
        event.latencyNs = spawnLatencyNs;
        event.commit();
    }

    /** Registered with the recorder when first asked for. */
    private static final class Type {
        static final EventType TYPE = EventType.getEventType(WorkerSpawnEvent.class);
    }
}
