// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/** Who has something to do once at the end of a pass: publishing used elements, notifying the guest. */
public interface PassEndListener {
    /** The pass in which this listener was registered ends. Runs on the IOThread; must not suspend. */
    void onPassEnd();

    /** {@link #onPassEnd} threw something that nobody handled. */
    void onFailure(Throwable failure);
}
