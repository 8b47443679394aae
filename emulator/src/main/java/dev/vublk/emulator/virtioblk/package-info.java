// SPDX-License-Identifier: Apache-2.0
/** The virtio-blk device: configuration space, queues on IOThreads, requests from parsing to status. */
@NullMarked
package dev.vublk.emulator.virtioblk;

import org.jspecify.annotations.NullMarked;
