// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Where front ends connect: socket files, inherited sockets, and QEMU's conventions for stand-alone back ends. */
@Timeout(180)
class SocketIT {
    /** Makes a listening socket at the path given first, which a program that it becomes inherits as descriptor 3. */
    private static final String LISTEN = "use Socket; $^F = 255; my ($path, @command) = @ARGV;"
            + "socket(S, PF_UNIX, SOCK_STREAM, 0) or die; bind(S, sockaddr_un($path)) or die; listen(S, 5) or die;"
            + "die 'not 3' if fileno(S) != 3;";

    /** The same, but what is inherited is the connection of the first who comes. */
    private static final String ACCEPT = LISTEN
            + "$| = 1; print qq(listening\n); accept(C, S) or die; close(S);"
            + "@command = map { s/^FD\\z/fileno(C)/er } @command;";

    @TempDir
    private Path directory;

    private Path socket() {
        return directory.resolve("a.sock");
    }

    private static VublkLauncher startInherited(Path directory, String perl, String... arguments) throws Exception {
        List<String> command =
                new ArrayList<>(List.of("perl", "-e", perl + "exec @command;", "a.sock", VublkLauncher.script()));
        command.addAll(Arrays.asList(arguments));
        return VublkLauncher.start(directory, Map.of(), command);
    }

    private static void assertServes(Path socket) throws Exception {
        try (BlkDriver driver = new BlkDriver(socket)) {
            assertThat(driver.write(0, new byte[4096])).isEqualTo(BlkDriver.S_OK);
        }
    }

    @Test
    void shouldReplaceASocketFileThatNobodyListensOn() throws Exception {
        // Closing a channel leaves its file.
        try (ServerSocketChannel left = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            left.bind(UnixDomainSocketAddress.of(socket()));
        }
        assertThat(socket()).exists();

        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            assertServes(socket());
            vublk.stop();
        }
        assertThat(socket()).doesNotExist();
    }

    @Test
    void shouldReplaceTheSocketFileOfAKilledOne() throws Exception {
        try (VublkLauncher killed = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            killed.signal("KILL");
            assertThat(killed.awaitExit()).isEqualTo(128 + 9);
        }
        assertThat(socket()).exists();

        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            assertServes(socket());
            vublk.stop();
        }
    }

    @Test
    void shouldRefuseASocketThatSomebodyListensOn() throws Exception {
        try (VublkLauncher first = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            assertThat(VublkLauncher.run(directory, "export", "null:1M", "--socket", "a.sock"))
                    .isEqualTo(new CapturedRun(1, "", "vublk: a.sock: in use: somebody listens there\n"));

            assertServes(socket());
            first.stop();
        }
    }

    @Test
    void shouldNotTouchAFileThatIsNoSocket() throws Exception {
        Files.writeString(socket(), "precious");

        assertThat(VublkLauncher.run(directory, "export", "null:1M", "--socket", "a.sock"))
                .isEqualTo(new CapturedRun(1, "", "vublk: a.sock: exists and is not a socket\n"));
        assertThat(socket()).hasContent("precious");
    }

    @Test
    void shouldRefuseAPathThatDoesNotFitASocketAddress() throws Exception {
        String path = "x".repeat(108);
        assertThat(VublkLauncher.run(directory, "export", "null:1M", "--socket", path))
                .isEqualTo(new CapturedRun(1, "", "vublk: " + path + ": a socket path has 1 to 107 bytes, not 108\n"));
    }

    @Test
    void shouldRefuseADirectoryThatIsNotThere() throws Exception {
        assertThat(VublkLauncher.run(directory, "export", "null:1M", "--socket", "no/a.sock"))
                .isEqualTo(
                        new CapturedRun(1, "", "vublk: no/a.sock: cannot bind: No such file or directory (ENOENT)\n"));
    }

    @Test
    void shouldGiveTheSocketToWhomItIsFor() throws Exception {
        boolean root = HostCommand.run("id", "-u").equals("0");
        String user = root ? "nobody" : HostCommand.run("id", "-un");
        String group = root ? "12345" : HostCommand.run("id", "-g");
        try (VublkLauncher vublk = VublkLauncher.start(
                        directory,
                        "export",
                        "--socket-mode=0620",
                        "--socket-owner=" + user,
                        "--socket-group=" + group,
                        "--disk",
                        "image=null:1M,socket=a.sock",
                        "--disk",
                        "image=null:1M,socket=b.sock,socket-mode=0666")
                .awaitReady(2)) {
            assertThat(HostCommand.run("stat", "-c", "%a %U %g", socket().toString()))
                    .isEqualTo("620 " + user + " " + group);
            assertThat(HostCommand.run(
                            "stat",
                            "-c",
                            "%a %U %g",
                            directory.resolve("b.sock").toString()))
                    .isEqualTo("666 " + user + " " + group);
            vublk.stop();
        }
    }

    @Test
    void shouldLetNobodyElseConnectUnlessTold() throws Exception {
        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            assertThat(HostCommand.run("stat", "-c", "%a", socket().toString())).isEqualTo("600");
            vublk.stop();
        }
    }

    @Test
    void shouldTakeAnInheritedListeningSocket() throws Exception {
        try (VublkLauncher vublk =
                startInherited(directory, LISTEN, "export", "null:1M", "--socket-fd", "3", "--queues", "1")) {
            assertThat(vublk.awaitLine()).isEqualTo("ready: null:1M on socket fd 3 (1 MiB, 1 queue)");
            assertServes(socket());
            assertServes(socket());
            vublk.stop();
            assertThat(vublk.err()).isEmpty();
        }
        // Whoever made the file removes it.
        assertThat(socket()).exists();
    }

    @Test
    void shouldServeAnInheritedConnectionAndEndWithIt() throws Exception {
        try (VublkLauncher vublk = startInherited(directory, ACCEPT, "export", "null:1M", "--socket-fd", "FD")) {
            assertThat(vublk.awaitLine()).isEqualTo("listening");
            assertServes(socket());
            assertThat(vublk.awaitLine()).startsWith("ready: null:1M on socket fd ");
            assertThat(vublk.awaitEnd()).isEqualTo(new CapturedRun(0, "", ""));
        }
    }

    @Test
    void shouldRefuseADescriptorThatIsNoSocket() throws Exception {
        assertThat(VublkLauncher.run(directory, "export", "null:1M", "--socket-fd", "77"))
                .isEqualTo(new CapturedRun(1, "", "vublk: socket fd 77: is not a stream socket of the Unix domain\n"));
    }

    /** vhost-user.rst, "Backend program conventions". */
    @Test
    void shouldFollowTheConventionsWithASocketPath() throws Exception {
        HostCommand.sparse(directory.resolve("a.img"), 1 << 20);
        try (VublkLauncher vublk =
                VublkLauncher.start(directory, "--socket-path=a.sock", "--blk-file=a.img", "--read-only")) {
            assertThat(vublk.awaitLine()).isEqualTo("ready: a.img on a.sock (1 MiB, 64 queues, read-only)");
            try (BlkDriver driver = new BlkDriver(socket())) {
                assertThat(driver.read(0, 512)).isEqualTo(new byte[512]);
                assertThat(driver.write(0, new byte[512])).isEqualTo(BlkDriver.S_IOERR);
            }
            vublk.stop();
            assertThat(vublk.err()).isEmpty();
        }
    }

    @Test
    void shouldFollowTheConventionsWithADescriptor() throws Exception {
        HostCommand.sparse(directory.resolve("a.img"), 1 << 20);
        try (VublkLauncher vublk = startInherited(directory, LISTEN, "--fd=3", "--blk-file=a.img")) {
            assertThat(vublk.awaitLine()).isEqualTo("ready: a.img on socket fd 3 (1 MiB, 64 queues)");
            assertServes(socket());
            vublk.stop();
        }
    }

    @Test
    void shouldNotRemoveAFileThatIsNotItsOwn() throws Exception {
        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "null:1M", "--socket", "a.sock")
                .awaitReady(1)) {
            Files.delete(socket());
            Files.writeString(socket(), "somebody else's by now");
            vublk.stop();
        }
        assertThat(socket()).hasContent("somebody else's by now");
    }
}
