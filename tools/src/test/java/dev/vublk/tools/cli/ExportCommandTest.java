// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

class ExportCommandTest {
    @TempDir
    private Path directory;

    private static EmulatorConfig configure(String... options) {
        List<String> args = new ArrayList<>(List.of("export"));
        args.addAll(Arrays.asList(options));
        CommandLine.ParseResult parsed = VublkCommand.commandLine()
                .parseArgs(args.toArray(String[]::new))
                .subcommand();
        return ((ExportCommand) parsed.commandSpec().userObject()).configure();
    }

    @Test
    void shouldServeOneDiskWithDefaults() {
        assertThat(configure("a.img", "--socket", "a.sock"))
                .isEqualTo(new EmulatorConfig(
                        List.of(new DiskConfig(
                                BlockOptions.of("a.img"),
                                ListenerOptions.atPath("a.sock"),
                                new VirtioBlkSettings("a.img", 64, 1024, true, 126, true, true, 32))),
                        1,
                        List.of(),
                        0,
                        64));
    }

    @Test
    void shouldTakeEveryOption() {
        int cpu = CpuAffinity.ofCallingThread().first();

        EmulatorConfig config = configure(
                ("a.img --socket=a.sock --socket-mode=660 --socket-owner=root --socket-group=0 --serial=S1 --queues=3"
                                + " --queue-size=256 --packed=off --seg-max=254 --max-ranges=16 --block-size=4KiB --read-only"
                                + " --share-rw --force-share --locking=off --cache=directsync --engine=io_uring"
                                + " --discard=ignore --write-zeroes=off --iothreads=2 --iothread-cpus=" + cpu
                                + " --iothread-cpus=" + cpu + ",8000 --worker-threads-min=1 --worker-threads-max=9"
                                + " --log-level=debug --debug")
                        .split(" ", -1));

        assertThat(config)
                .isEqualTo(new EmulatorConfig(
                        List.of(new DiskConfig(
                                BlockOptions.of("a.img")
                                        .withReadOnly(true)
                                        .withCacheMode(CacheMode.DIRECTSYNC)
                                        .withEngine(IoEngine.IO_URING)
                                        .withDiscard(false)
                                        .withLogicalBlockBytes(4096)
                                        .withLocking(Locking.OFF)
                                        .withShareRw(true)
                                        .withForceShare(true),
                                new ListenerOptions("a.sock", -1, 0660, "root", "0"),
                                new VirtioBlkSettings("S1", 3, 256, false, 254, false, false, 16))),
                        2,
                        List.of(CpuAffinity.of(cpu), CpuAffinity.of(cpu, 8000)),
                        1,
                        9));
    }

    /** The options of a disk and its keys are the same words: an option without a key could not be given per disk. */
    @Test
    void shouldHaveAKeyForEveryOptionOfADisk() {
        TreeSet<String> options = new TreeSet<>();
        CommandLine.Model.CommandSpec.forAnnotatedObject(new DiskDefaults())
                .options()
                .forEach(option -> options.add(option.longestName().substring(2)));
        options.addAll(List.of("image", "socket", "socket-fd"));

        assertThat(DiskSpec.KEYS).containsExactlyInAnyOrderElementsOf(options);
    }

    @Test
    void shouldTakeShortNames() {
        BlockOptions block = configure("a.img", "--socket", "s", "-r", "-U")
                .disks()
                .getFirst()
                .block();

        assertThat(block.readOnly()).isTrue();
        assertThat(block.forceShare()).isTrue();
    }

    @Test
    void shouldServeTheImageAndEveryDisk() {
        List<DiskConfig> disks = configure(
                        "a.img",
                        "--socket",
                        "a.sock",
                        "--queues",
                        "2",
                        "--disk",
                        "image=b.img,socket=b.sock,queues=4",
                        "--disk",
                        "image=c.img,socket-fd=5")
                .disks();

        assertThat(disks).extracting(disk -> disk.block().image()).containsExactly("a.img", "b.img", "c.img");
        assertThat(disks).extracting(disk -> disk.device().queueCountMax()).containsExactly(2, 4, 2);
        assertThat(disks.get(2).listener()).isEqualTo(ListenerOptions.inherited(5));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'' | nothing to serve: give IMAGE and --socket, or --disk",
                "--socket s | no IMAGE given: what is to be served?",
                "--socket-fd 3 | no IMAGE given: what is to be served?",
                "a | a: needs one socket: --socket PATH or --socket-fd N",
                "a --socket s --socket-fd 3 | a: needs one socket: --socket PATH or --socket-fd N, not both",
                "a --socket-fd -4 | --socket-fd: '-4' is no number from 0 to 2147483647",
                "a --socket | Missing required parameter for option '--socket' (PATH)",
                "a --socket s --socket t | option '--socket' (PATH) should be specified only once",
                "a b --socket s | Unmatched argument at index 2: 'b'",
                "a --socket s --colour blue | Unknown options: '--colour', 'blue'",
                "a --socket s --queues many | Invalid value for option '--queues': 'many' is not an int",
                "a --socket s --queues 257 | --queues: '257' is no number from 1 to 256",
                "a --socket s --queue-size 100 | --queue-size: '100' is no power of two from 1 to 32768",
                "a --socket s --seg-max 0 | --seg-max: '0' is no number from 1 to 1022",
                "a --socket s --max-ranges 0 | --max-ranges: '0' is no number from 1 to 256",
                "a --socket s --block-size 513 | --block-size: '513' is no power of two from 512 to 65536",
                "a --socket s --block-size big | Invalid value for option '--block-size': 'big' is no size such as 512, 4K or 64MiB",
                "a --socket s --cache fast | Invalid value for option '--cache': 'fast' is none of [none, writeback, writethrough, directsync, unsafe]",
                "a --socket s --engine aio | Invalid value for option '--engine': 'aio' is none of [auto, io_uring, threads, mmap]",
                "a --socket s --discard maybe | Invalid value for option '--discard': 'maybe' is neither unmap nor ignore",
                "a --socket s --write-zeroes 1 | Invalid value for option '--write-zeroes': '1' is neither on nor off",
                "a --socket s --locking 1 | Invalid value for option '--locking': '1' is none of [on, deferred, off]",
                "a --socket s --serial 0123456789-0123456789 | --serial: '0123456789-0123456789' is longer than 20 bytes",
                "a --socket s --force-share | --force-share: is only safe for reading: add --read-only",
                "a --socket s --socket-mode 888 | Invalid value for option '--socket-mode': '888' is no octal mode such as 0660",
                "a --socket s --socket-owner no-such | --socket-owner: there is no user 'no-such'; give a name or a number",
                "a --socket s --socket-group no-such | --socket-group: there is no group 'no-such'; give a name or a number",
                "a --socket s --iothreads 0 | --iothreads: 0 is not from 1 to 1024",
                "a --socket s --iothread-cpus x | Invalid value for option '--iothread-cpus' (LIST): 'x' is no list of processors such as 0-3,8",
                "a --socket s --worker-threads-max 0 | --worker-threads-max: 0 is not from 1 to 4096",
                "a --socket s --log-level loud | Invalid value for option '--log-level': expected one of [ERROR, WARN, INFO, DEBUG, TRACE] (case-insensitive) but was 'loud'",
                "--disk image=a,socket=s,x=1 | --disk image=a,socket=s,x=1: x: no such key; known are image, socket",
                "a --socket s --disk image=b | --disk image=b: b: needs one socket: socket=PATH or socket-fd=N",
                "a --socket s --disk image=b,socket=s | s: is given for a and for b; each disk needs its own",
                "--disk image=a,socket-fd=3 --disk image=b,socket-fd=3 | socket fd 3: is given for a and for b; each disk needs its own",
            })
    void shouldRefuseWrongUsageInOneLineThatSaysWhat(String args, String message) {
        String[] words = ("export " + args).strip().split(" +", -1);

        CapturedRun run = CapturedRun.of(words);

        assertThat(run.status()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
        assertThat(run.err().lines()).hasSize(2);
        assertThat(run.err()).startsWith("vublk: " + message).endsWith("\nTry 'vublk export --help'.\n");
    }

    @Test
    void shouldFailInOneLineWhenAnImageCannotBeOpened() {
        Path image = directory.resolve("missing.img");

        CapturedRun run = CapturedRun.of("export", image.toString(), "--socket", socket());

        assertThat(run)
                .isEqualTo(
                        new CapturedRun(1, "", "vublk: " + image + ": cannot be opened: No such file or directory\n"));
    }

    @Test
    void shouldShowTheStackTraceOnlyWithDebug() {
        for (String[] args : new String[][] {
            {"--debug", "export", directory.toString(), "--socket", socket()},
            {"export", directory.toString(), "--socket", socket(), "--debug"},
        }) {
            CapturedRun run = CapturedRun.of(args);

            assertThat(run.status()).isEqualTo(1);
            assertThat(run.err())
                    .startsWith("vublk: " + directory + ": is a directory, not a regular file or a block device\n")
                    .contains("BlockOpenException", "\tat dev.vublk.");
        }
    }

    /** Everything is undone: of two disks the first has its socket already when the second fails. */
    @Test
    void shouldLeaveNoSocketBehindWhenALaterDiskFails() {
        Path socket = directory.resolve("a.sock");

        CapturedRun run = CapturedRun.of(
                "export",
                "--disk",
                "image=null:1M,socket=" + socket,
                "--disk",
                "image=" + directory.resolve("missing") + ",socket=" + socket());

        assertThat(run.status()).isEqualTo(1);
        assertThat(run.err().lines()).hasSize(1);
        assertThat(Files.exists(socket)).isFalse();
    }

    private String socket() {
        return directory.resolve("s").toString();
    }
}
