// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static dev.vublk.emulator.GuestRequest.*;

import dev.vublk.emulator.GuestRequest;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What a back end may answer other than the model says, each with its reason. vublk may do nothing of that; the list is
 * qemu-storage-daemon's.
 */
enum Differences {
    NONE,
    QEMU;

    /** Returns what is wrong with a request's end, or an empty text. */
    String check(PlannedRequest planned, GuestRequest done, DiskModel model) {
        int expected = model.status(planned);
        if (done.status() != expected && !mayEndWith(planned)) {
            return "status " + done.status() + " instead of " + expected;
        }
        if (done.status() != OK || expected != OK) {
            return checkFailedLength(done);
        }
        return switch (planned.type()) {
            case IN -> {
                if (done.usedBytes() != planned.bytes() + 1) {
                    yield "used length " + done.usedBytes();
                }
                int at = Arrays.mismatch(done.answer(), model.read(planned));
                yield at < 0 ? "" : "byte " + at + " was not what was written";
            }
            case GET_ID -> checkId(planned, done);
            default -> done.usedBytes() == 1 ? "" : "used length " + done.usedBytes();
        };
    }

    /** QEMU leaves bit 31 of the type out, once the barrier flag of drivers older than virtio 1: it is a read to it. */
    private boolean mayEndWith(PlannedRequest planned) {
        return this == QEMU && planned.type() == RequestPlan.BARRIER_FLAG;
    }

    /** A failed request has written its status at most: the length says what from the start on is certain. */
    private String checkFailedLength(GuestRequest done) {
        int room = done.answer().length;
        if (this == QEMU) {
            // QEMU counts the whole writable part, although nothing was written there (against section 2.7.8.2).
            return done.usedBytes() <= room + 1 ? "" : "used length " + done.usedBytes() + " of " + (room + 1);
        }
        int expected = room == 0 ? 1 : 0;
        return done.usedBytes() == expected ? "" : "used length " + done.usedBytes() + " after a failure";
    }

    private String checkId(PlannedRequest planned, GuestRequest done) {
        if (this == QEMU) {
            return ""; // Another serial number; QEMU ends it with a NUL, and counts the whole writable part.
        }
        byte[] id = new byte[20];
        byte[] serial = "serial-0".getBytes(StandardCharsets.UTF_8);
        System.arraycopy(serial, 0, id, 0, serial.length);
        int length = Math.min(20, planned.bytes());
        boolean same = Arrays.equals(done.answer(), 0, length, id, 0, length);
        int used = planned.bytes() <= 20 ? planned.bytes() + 1 : 20;
        return same && done.usedBytes() == used ? "" : "id, or its length " + done.usedBytes();
    }
}
