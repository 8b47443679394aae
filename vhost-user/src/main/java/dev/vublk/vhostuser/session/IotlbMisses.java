// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.socket.BackendRequestChannel;
import dev.vublk.vhostuser.virtqueue.IovaMiss;
import java.util.Arrays;
import java.util.BitSet;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Asks the front end for translations that rings miss (VHOST_USER_BACKEND_IOTLB_MSG). Control loop.
 *
 * <p>Every ring has one question at most, so there is never more to ask than rings have room for; a newer one takes the place of an
 * older. The messages of a question go out together and are acknowledged one by one: a front end sends the update, if there is one,
 * before it acknowledges. So what is still missing then is refused. Where no acknowledgements were negotiated, or none will come
 * because the channel is gone, nothing is known to be refused, and a question waits for updates or another channel.
 */
final class IotlbMisses implements AutoCloseable {
    private final Iotlb iotlb;
    private final FeatureNegotiation features;
    private final @Nullable Question[] questions;
    private final BitSet unasked = new BitSet();
    private @Nullable BackendRequestChannel channel;
    private boolean asking;
    /** The front end has closed its end of the channel, or says there what nobody understands. */
    private boolean gone;

    private boolean failureTold;
    private long count;

    /** What one ring has to know before it goes on; {@code answered} gets what was refused. */
    private static final class Question {
        private final long[] misses;
        private final Consumer<long[]> answered;

        private Question(long[] misses, Consumer<long[]> answered) {
            this.misses = misses;
            this.answered = answered;
        }
    }

    IotlbMisses(Iotlb iotlb, FeatureNegotiation features, int ringCount) {
        this.iotlb = iotlb;
        this.features = features;
        questions = new Question[ringCount];
    }

    /** Where to ask from now on; null: nowhere. Whatever was asked elsewhere is asked again. */
    void useChannel(@Nullable BackendRequestChannel newChannel) {
        closeChannel();
        channel = newChannel;
        gone = false;
        for (int ring = 0; ring < questions.length; ring++) {
            unasked.set(ring, questions[ring] != null);
        }
    }

    private boolean isAcknowledged() {
        return features.allows(ProtocolFeature.REPLY_ACK);
    }

    /** How many translations have been asked for. */
    long count() {
        return count;
    }

    /** Wants to know what {@code ring} misses: {@link #askAll} asks. */
    void ask(int ring, long[] misses, Consumer<long[]> answered) {
        questions[ring] = new Question(misses, answered);
        unasked.set(ring);
    }

    /** Asks. May wait; whoever comes meanwhile leaves its question to the one who waits. */
    void askAll() {
        if (asking) {
            return;
        }
        asking = true;
        try {
            for (int ring = unasked.nextSetBit(0); ring >= 0; ring = unasked.nextSetBit(0)) {
                unasked.clear(ring);
                Question question = questions[ring];
                if (question != null) {
                    ask(ring, question);
                }
            }
        } finally {
            asking = false;
        }
    }

    private void ask(int ring, Question question) {
        BackendRequestChannel present = channel;
        long lossesBefore = iotlb.losses();
        boolean told = present != null && send(present, question.misses);
        if (channel != present) {
            unasked.set(ring, questions[ring] != null); // Replaced meanwhile: whatever came of it, once more.
            return;
        }
        if (present != null && (!told || !isAcknowledged())) {
            gone = !told; // A front end that leaves refuses nothing: whoever comes next is asked again.
            onUpdate();
            return;
        }
        // What was lost since (invalidated, forgotten) may have been there: then the ring looks again, and asks again.
        boolean certain = present == null || iotlb.losses() == lossesBefore;
        answer(ring, question, certain ? missing(question.misses) : new long[0]);
    }

    private void answer(int ring, Question question, long[] refused) {
        if (questions[ring] != question) {
            return; // It has another one by now, or none.
        }
        questions[ring] = null;
        question.answered.accept(refused);
        if (refused.length > 0) {
            tellFailure(refused[0]);
        }
    }

    /** Sends all messages, then takes in what came back for each. Returns whether the front end is there to know them. */
    private boolean send(BackendRequestChannel to, long... misses) {
        int sent = 0;
        for (long miss : misses) {
            if (isCovered(miss)) {
                continue; // Known by now: another ring has asked, or the front end has told unasked.
            }
            count++;
            IotlbMessage message = IotlbMessage.miss(IovaMiss.iova(miss), IovaMiss.permission(miss));
            boolean went = isAcknowledged()
                    ? to.sendForAck(BackendRequest.IOTLB_MSG, message.encode())
                    : to.sendWaiting(BackendRequest.IOTLB_MSG, message.encode());
            if (!went) {
                return false;
            }
            sent++;
        }
        return !isAcknowledged() || receiveAcks(to, sent);
    }

    private static boolean receiveAcks(BackendRequestChannel from, int count) {
        try {
            for (int i = 0; i < count; i++) {
                if (!from.receiveAck(BackendRequest.IOTLB_MSG)) {
                    return false;
                }
            }
            return true;
        } catch (VhostUserProtocolException e) {
            return false;
        }
    }

    /** The front end has told a translation. Without acknowledgements that is all that somebody waits for. */
    void onUpdate() {
        if (isAcknowledged() && !gone) {
            return;
        }
        for (int ring = 0; ring < questions.length; ring++) {
            Question question = questions[ring];
            if (question != null && !unasked.get(ring) && missing(question.misses).length == 0) {
                answer(ring, question, new long[0]);
            }
        }
    }

    private long[] missing(long... misses) {
        return Arrays.stream(misses).filter(miss -> !isCovered(miss)).toArray();
    }

    private boolean isCovered(long miss) {
        long iova = IovaMiss.iova(miss);
        return iotlb.map().covers(iova, iova, IovaMiss.permission(miss));
    }

    /** Once a session: QEMU (7.2) knows the message, but only to print that it does nothing about it. */
    private void tellFailure(long miss) {
        BackendRequestChannel present = channel;
        if (!failureTold && present != null) {
            failureTold = true;
            IotlbMessage message = IotlbMessage.accessFail(IovaMiss.iova(miss), IovaMiss.permission(miss));
            present.sendWaiting(BackendRequest.IOTLB_MSG, message.encode());
        }
    }

    private void closeChannel() {
        if (channel != null) {
            channel.close();
            channel = null;
        }
    }

    @Override
    public void close() {
        Arrays.fill(questions, null);
        unasked.clear();
        closeChannel();
    }
}
