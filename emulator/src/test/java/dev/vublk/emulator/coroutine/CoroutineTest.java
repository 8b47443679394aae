// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class CoroutineTest {
    private final List<String> log = new ArrayList<>();

    @Test
    void shouldRunOnePieceOfWorkAfterTheOther() {
        Coroutine coroutine = new Coroutine();

        coroutine.start(() -> log.add("first"));
        assertThat(coroutine.isIdle()).isTrue();
        coroutine.start(() -> {
            Coroutine.suspend();
            log.add("second");
        });

        assertThat(coroutine.isIdle()).isFalse();
        assertThat(log).containsExactly("first");
        coroutine.resume();
        assertThat(coroutine.isIdle()).isTrue();
        assertThat(log).containsExactly("first", "second");
    }

    @Test
    void shouldRefuseToStartBusyAndToResumeIdle() {
        Coroutine coroutine = new Coroutine();
        assertThatThrownBy(coroutine::resume).hasMessageContaining("idle");
        coroutine.start(Coroutine::suspend);

        assertThatThrownBy(() -> coroutine.start(() -> {})).hasMessageContaining("busy");
    }

    @Test
    void shouldTellWhereItWaits() {
        Coroutine coroutine = new Coroutine();
        coroutine.start(this::waitDeepInside);

        assertThat(coroutine.stackTrace())
                .extracting(StackTraceElement::getMethodName)
                .contains("waitDeepInside");
        assertThat(coroutine.isRunningHere()).isFalse();
    }

    private void waitDeepInside() {
        Coroutine.suspend();
    }

    @Test
    void shouldKnowThatItRunsAlsoWhenItStartedAnother() {
        Coroutine outer = new Coroutine();
        Coroutine inner = new Coroutine();

        outer.start(() -> inner.start(() -> {
            assertThat(outer.isRunningHere()).isTrue();
            assertThat(inner.isRunningHere()).isTrue();
            log.add("seen");
        }));

        assertThat(log).containsExactly("seen");
        assertThat(outer.isRunningHere()).isFalse();
    }

    @Test
    void shouldSuspendOnlyTheInnermost() {
        Coroutine outer = new Coroutine();
        Coroutine inner = new Coroutine();

        outer.start(() -> {
            inner.start(Coroutine::suspend);
            log.add("outer goes on");
        });

        assertThat(outer.isIdle()).isTrue();
        assertThat(inner.isIdle()).isFalse();
        assertThat(log).containsExactly("outer goes on");
    }

    @Test
    void shouldMoveBetweenThreads() throws Exception {
        Coroutine coroutine = new Coroutine();
        coroutine.start(() -> {
            Coroutine.suspend();
            log.add(Thread.currentThread().getName());
        });

        Thread other = Thread.ofPlatform().name("other").start(coroutine::resume);
        other.join();

        assertThat(log).containsExactly("other");
        coroutine.start(() -> log.add("back"));
        assertThat(log).containsExactly("other", "back");
    }

    @Test
    void shouldPassWhatTheWorkThrowsToWhoeverRunsIt() {
        Coroutine coroutine = new Coroutine();
        coroutine.start(() -> {
            Coroutine.suspend();
            throw new IllegalArgumentException("broken work");
        });

        assertThatThrownBy(coroutine::resume).hasMessage("broken work");
        assertThat(coroutine.isIdle()).isFalse();
    }
}
