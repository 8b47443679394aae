// SPDX-License-Identifier: Apache-2.0
/** Guest memory: regions, immutable snapshots, translation, and ordered access to what the guest shares. */
@NullMarked
package dev.vublk.vhostuser.memory;

import org.jspecify.annotations.NullMarked;
