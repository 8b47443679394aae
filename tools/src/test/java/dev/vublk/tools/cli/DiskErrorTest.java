// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.faulty.FaultRule;
import dev.vublk.tools.faulty.FaultyDirectory;
import dev.vublk.tools.faulty.FileCall;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
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

    /** Also calls that only look. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert -f raw -m 4 @raw.img @new",
                "convert -m 1 -B middle.qcow2 -F qcow2 -O qcow2 @top.qcow2 @new",
                "convert -m 2 --compress zstd @packed.qcow2 @new",
                "create --force -f qcow2 -b top.qcow2 -F qcow2 @new",
            })
    void shouldMakeAWholeImageOrNoneWhicheverCallFails(String command) throws IOException {
        sweep(command, FaultRule.of(EVERY_CALL).times(1), contentOfNew(command));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert -f raw -m 1 @raw.img @new",
                "convert -f raw -m 4 -O qcow2 @raw.img @new",
                "convert -m 1 -O qcow2 @disk.qcow2 @new",
                "convert -m 4 @top.qcow2 @new",
                "convert -m 1 -c -O qcow2 @packed.qcow2 @new",
                "convert -m 4 --compress zstd -O qcow2 -f raw @raw.img @new",
                "convert -m 2 --compress zlib -f raw @raw.img @new",
                "convert -m 4 -B middle.qcow2 -F qcow2 -O qcow2 @top.qcow2 @new",
                "create -f qcow2 -o preallocation=metadata @new 8M",
                "create -f qcow2 -o data_file=@data @new 1M",
                "create -o preallocation=full @new 64K",
            })
    void shouldMakeAWholeImageOrNone(String command) throws IOException {
        sweep(command, FaultRule.of(DATA_CALLS), contentOfNew(command));
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
                assertThat(skipped).isPositive();
                return;
            }
            if (run.status() == 0 || run.err().contains(": is whole, but ")) {
                assertSame(images.read("new"), expected, context(command, run));
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

    private static void assertSame(byte[] content, byte[] expected, String context) {
        assertThat(Arrays.mismatch(content, expected)).as(context).isEqualTo(-1);
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
        assertThat(run.err().replaceAll("(?m)^(ERROR|Leaked|Repairing) .*\n", "")) // of check
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
                    assertThat(skipped).isPositive();
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

    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert -m 1 @top.qcow2 @new",
                "convert -m 4 -c -O qcow2 @top.qcow2 @new",
                "compare @top.qcow2 @raw.img",
                "compare -f raw @raw.img @top.qcow2",
            })
    void shouldTellWhichFileOfAChainFails(String command) {
        images.directory().fail(FaultRule.of(FileCall.READ).on("base.img").at(64 << 10, 128 << 10));

        CapturedRun run = images.run(command);

        assertThat(run.status()).isEqualTo(command.startsWith("compare") ? 4 : 1);
        assertThat(run.err())
                .startsWith("vublk: " + mount + "/top.qcow2: cannot be read at offset ")
                .endsWith(" (in " + mount + "/base.img): Input/output error\n")
                .hasLineCount(1);
        images.assertUntouched();
    }

    @Test
    void shouldSalvageAllButTheBrokenSector() throws IOException {
        byte[] expected = images.disk();
        Arrays.fill(expected, 128 << 10, (128 << 10) + 512, (byte) 0);
        images.directory().fail(FaultRule.of(FileCall.READ).on("base.img").at((128 << 10) + 100, (128 << 10) + 101));

        CapturedRun run = images.run("convert --salvage @top.qcow2 @new");

        assertThat(run.status()).as(run.toString()).isZero();
        assertThat(run.err())
                .isEqualTo("vublk: " + mount + "/top.qcow2: 512 bytes could not be read and are zeroes in " + mount
                        + "/new\n");
        assertSame(images.read("new"), expected, "salvaged");
        images.assertUntouched();
    }

    /** The disk goes on failing until the command has ended; then it is whole again. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert --resume -m 1 @top.qcow2 @new",
                "convert --resume -m 4 -f raw @raw.img @new",
                "convert --resume -f raw -o preallocation=falloc @raw.img @new",
            })
    void shouldGoOnWhenTheDiskIsWholeAgain(String command) throws IOException {
        for (int skipped = 0; ; skipped++) {
            images.reset();
            CapturedRun run = runWith(FaultRule.of(DATA_CALLS).after(skipped), command);
            if (run == null) {
                assertThat(skipped).isPositive();
                return;
            }
            assertThat(run.status()).as(context(command, run)).isEqualTo(1);
            assertOneClearLine(command, run);
            assertThat(images.others()).as(context(command, run)).doesNotContain("new");
            boolean kept = run.err().endsWith("; what was copied is kept: the same command goes on with it\n");
            assertThat(!images.others().isEmpty()).as(context(command, run)).isEqualTo(kept);

            CapturedRun again = images.run(command);

            assertThat(again.status()).as(context(command, again)).isZero();
            assertSame(images.read("new"), images.disk(), context(command, again));
            assertThat(images.others()).as(context(command, run)).containsExactly("new");
            images.assertUntouched();
        }
    }

    /** What an earlier conversion has copied is not lost, and not believed to be there when it is. */
    @Test
    void shouldGoOnWhenTheDiskFailsAgain() throws IOException {
        String command = "convert --resume -m 1 -f raw @raw.img @new";
        for (int skipped = 0; ; skipped++) {
            images.reset();
            CapturedRun first =
                    runWith(FaultRule.of(FileCall.READ).on("raw.img").at(1 << 20, Long.MAX_VALUE), command);
            assertThat(first).isNotNull();
            assertThat(images.others()).containsExactly(".new.part", ".new.part.journal");

            CapturedRun second = runWith(FaultRule.of(DATA_CALLS).after(skipped), command);
            if (second == null) {
                assertThat(skipped).isPositive();
                return;
            }
            assertOneClearLine(command, second);
            assertThat(images.others()).as(context(command, second)).contains(".new.part", ".new.part.journal");

            CapturedRun third = images.run(command);
            assertThat(third.status()).as(context(command, third)).isZero();
            assertSame(images.read("new"), images.disk(), context(command, second));
        }
    }

    @Test
    void shouldNotBelieveAJournalWithoutWhatItTellsOf() throws IOException {
        String command = "convert --resume -m 1 -f raw @raw.img @new";
        Path part = mount.resolve(".new.part");
        FaultRule fault = FaultRule.of(FileCall.READ).on("raw.img").at(1 << 20, Long.MAX_VALUE);
        assertThat(runWith(fault, command)).isNotNull();

        try (FileChannel file = FileChannel.open(part, StandardOpenOption.WRITE)) {
            file.truncate(4096);
        }
        assertThat(images.run(command).err())
                .isEqualTo("vublk: " + part + ": is shorter than .new.part.journal says: remove both to start anew\n");
        Files.delete(part);
        assertThat(images.run(command).status()).isZero();

        assertSame(images.read("new"), images.disk(), "begun anew");
        assertThat(images.others()).containsExactly("new");
    }

    /** Where an image is written in its place it stays one, with what it held; the same command works when the disk is whole. */
    @ParameterizedTest
    @CsvSource({
        "disk.qcow2,  resize --shrink @disk.qcow2 512K",
        "small.qcow2, resize @small.qcow2 4M",
        "raw.img,     resize -f raw --preallocation full @raw.img 2M",
        "disk.qcow2,  check --repair all @disk.qcow2",
        "disk.qcow2,  check --repair leaks @disk.qcow2",
        "disk.qcow2,  convert -n -m 1 -O qcow2 @top.qcow2 @disk.qcow2",
    })
    void shouldLeaveAnImageWhereOneIsWrittenInItsPlace(String name, String command) throws IOException {
        for (FaultRule rule : new FaultRule[] {FaultRule.of(DATA_CALLS).times(1), FaultRule.of(DATA_CALLS)}) {
            for (int skipped = 0; ; skipped++) {
                images.reset();
                if (command.startsWith("check")) {
                    images.damage(name, command.contains("all"));
                }
                CapturedRun run = runWith(rule.after(skipped), command);
                if (run == null) {
                    assertThat(skipped).isPositive();
                    break;
                }
                assertImage(name, command, run);
                if (run.status() == 0) {
                    continue;
                }
                assertThat(run.status()).as(context(command, run)).isEqualTo(1);
                assertOneClearLine(command, run);
                if (images.directory().content("raw.img").length > FaultyImages.DISK_BYTES) {
                    continue; // It could not be cut again either.
                }

                CapturedRun again = images.run(command);

                assertThat(again.status()).as(context(command, again)).isZero();
            }
        }
    }

    private static void assertImage(String name, String command, CapturedRun run) throws IOException {
        assertThat(images.others()).as(context(command, run)).isEmpty();
        images.assertUntouched(name);
        if (name.endsWith(".qcow2") && (run.status() == 0 || !command.contains("--repair"))) {
            int check = images.run("check -q @" + name).status();
            assertThat(check).as(context(command, run)).isIn(0, 3);
        }
        int common = name.startsWith("small")
                ? FaultyImages.SMALL_BYTES
                : command.contains("512K") ? 512 << 10 : FaultyImages.DISK_BYTES;
        byte[] content = Arrays.copyOf(images.read(name), common);
        assertSame(content, Arrays.copyOf(images.disk(), common), context(command, run));
    }
}
