// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

/** When a front-end message is answered, and with what. */
public enum ReplyRule {
    /** Only with NEED_REPLY: a u64, 0 when it was done. */
    ACK,
    /** Always: a u64. */
    U64,
    /** Always: the payload of the request, filled in; for GET_CONFIG no payload at all is the error. */
    CONFIG,
    /** Always: a payload of its own. */
    OWN
}
