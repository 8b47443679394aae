// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.trace;

import jdk.jfr.FlightRecorder;

/**
 * Whether anything is recorded at all: to be asked before an event's class is touched, as the first of them sets up the whole
 * recorder, even when nothing is recorded, and the start or the first request would wait for that. Any thread; nearly free.
 */
public final class FlightRecording {
    private FlightRecording() {}

    public static boolean isOn() {
        return FlightRecorder.isInitialized();
    }
}
