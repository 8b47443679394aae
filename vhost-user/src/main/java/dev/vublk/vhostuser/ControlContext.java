// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

/**
 * How the control side waits: on a control loop the calling coroutine is suspended, in a plain-thread test the thread
 * blocks in {@code poll(2)}. A wait ends early when the listener or connection that waits is closed.
 */
public interface ControlContext {

    /** Waits until {@code fd} is readable, hung up or in error. Returns false when {@code cancel} ended the wait. */
    boolean awaitReadable(int fd, WaitCancel cancel);

    /** Waits until {@code fd} is writable, hung up or in error. Returns false when {@code cancel} ended the wait. */
    boolean awaitWritable(int fd, WaitCancel cancel);

    /** Runs {@code work} beside the caller, where it may wait for itself. */
    void spawn(Runnable work);

    /** A new, not yet cancelled token. */
    WaitCancel newWaitCancel();

    /** Ends a wait from outside, once and for ever. */
    interface WaitCancel {
        /** Ends the present wait and all later ones at once. Callable from any thread. */
        void cancel();

        boolean isCancelled();
    }
}
