// SPDX-License-Identifier: Apache-2.0
/** Threads that serve queues: one thread, one loop, its coroutines; and the watching of descriptors. */
@NullMarked
package dev.vublk.emulator.iothread;

import org.jspecify.annotations.NullMarked;
