// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.faulty.FaultRule;
import dev.vublk.tools.faulty.FaultyDirectory;
import dev.vublk.tools.faulty.FileCall;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What commands do when a disk fails that they read or write: each is run again and again, and another one of its calls to the file
 * system fails each time.
 */
class DiskErrorTest {
    private static final FileCall[] EVERY_CALL = FileCall.values();

    /** What a broken disk fails; removing what was begun still works. */
    private static final FileCall[] DATA_CALLS = {
        FileCall.READ,
        FileCall.WRITE,
        FileCall.FSYNC,
        FileCall.SETATTR,
        FileCall.ALLOCATE,
        FileCall.RENAME,
        FileCall.LINK
    };

    /** Where holes are is good to know only: without an answer there are none. */
    private static final FileCall[] REPORTING_CALLS = {
        FileCall.LOOKUP, FileCall.GETATTR, FileCall.OPEN, FileCall.READ, FileCall.FLUSH
    };

    @TempDir
    private static Path plain;

    @TempDir
    private static Path mount;

    @SuppressWarnings("NullAway.Init") // Set before all tests, unless they are skipped.
    private static FaultyImages images;

    @BeforeAll
    static void makeImages() throws Exception {
        QemuImg.assumeInstalled();
        FaultyDirectory directory = FaultyDirectory.mount(mount);
        try {
            images = new FaultyImages(directory, plain);
        } catch (Throwable failure) {
            directory.close();
            throw failure;
        }
    }

    @AfterAll
    static void unmount() {
        if (images != null) {
            images.close();
        }
    }

    @BeforeEach
    void reset() {
        images.reset();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert -f raw -m 4 @raw.img @new",
                "convert -m 1 -O qcow2 @disk.qcow2 @new",
                "convert -m 4 @top.qcow2 @new",
                "convert -m 1 -c -O qcow2 @packed.qcow2 @new",
                "convert -m 4 --compress zstd -O qcow2 -f raw @raw.img @new",
                "convert -m 2 --compress zlib -f raw @raw.img @new",
                "convert -B middle.qcow2 -F qcow2 -O qcow2 @top.qcow2 @new",
                "create -f qcow2 -o preallocation=metadata @new 8M",
                "create -o preallocation=full @new 64K",
                "create --force -f qcow2 -b top.qcow2 -F qcow2 @new",
            })
    void shouldMakeAWholeImageOrNone(String command) throws IOException {
        byte[] expected = contentOfNew(command);
        sweep(command, FaultRule.of(EVERY_CALL).times(1), expected);
        sweep(command, FaultRule.of(DATA_CALLS), expected);
    }

    private byte[] contentOfNew(String command) throws IOException {
        CapturedRun run = images.run(command);
        assertThat(run.status()).as(run.toString()).isZero();
        return images.read("new");
    }

    private void sweep(String command, FaultRule rule, byte[] expected) throws IOException {
        for (int skipped = 0; ; skipped++) {
            images.reset();
            CapturedRun run = runWith(rule.after(skipped), command);
            if (run == null) {
                return;
            }
            if (run.status() == 0 || run.err().contains(": is whole, but ")) {
                assertThat(images.read("new")).as(context(command, run)).isEqualTo(expected);
            } else {
                assertThat(images.others()).as(context(command, run)).isEmpty();
            }
            if (run.status() != 0) {
                assertOneClearLine(command, run);
                assertThat(run.status()).as(context(command, run)).isEqualTo(1);
            }
            images.assertUntouched();
        }
    }

    /** Null when nothing failed because there are not so many calls. */
    private @Nullable CapturedRun runWith(FaultRule rule, String command) {
        int before = images.directory().failures();
        images.directory().fail(rule);
        CapturedRun run = images.run(command);
        images.directory().heal();
        return images.directory().failures() > before ? run : null;
    }

    private static String context(String command, CapturedRun run) {
        return command + ": " + images.directory().lastFailure() + ": " + run;
    }

    private static void assertOneClearLine(String command, CapturedRun run) {
        assertThat(run.err())
                .as(context(command, run))
                .startsWith("vublk: " + mount + "/")
                .contains("Input/output error")
                .doesNotContain("internal error")
                .doesNotContain("Exception")
                .hasLineCount(1);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "info @raw.img",
                "info --json --backing-chain @top.qcow2",
                "check @top.qcow2",
                "check --json @packed.qcow2",
                "map @top.qcow2",
                "map --json @raw.img",
                "compare @disk.qcow2 @raw.img",
                "compare -f raw @raw.img @top.qcow2",
                "snapshot list @disk.qcow2",
            })
    void shouldReportRightlyOrFail(String command) {
        CapturedRun right = images.run(command);
        assertThat(right.status()).as(right.toString()).isZero();
        for (FaultRule rule : new FaultRule[] {FaultRule.of(REPORTING_CALLS).times(1), FaultRule.of(DATA_CALLS)}) {
            for (int skipped = 0; ; skipped++) {
                CapturedRun run = runWith(rule.after(skipped), command);
                if (run == null) {
                    break;
                }
                if (run.status() == 0) {
                    assertThat(run.out()).as(context(command, run)).isEqualTo(right.out());
                } else {
                    assertOneClearLine(command, run);
                    assertThat(right.out()).as(context(command, run)).startsWith(run.out());
                    assertThat(run.status()).as(context(command, run)).isIn(statusesOfFailure(command));
                }
                images.assertUntouched();
            }
        }
    }

    private static Object[] statusesOfFailure(String command) {
        return command.startsWith("compare") ? new Object[] {2, 4} : new Object[] {1};
    }
}
