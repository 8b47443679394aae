// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.vublk.tools.bench.Bench;
import dev.vublk.tools.bench.BenchOptions;
import dev.vublk.tools.bench.BenchReport;
import dev.vublk.tools.bench.BenchResult;
import dev.vublk.tools.bench.IdleDisks;
import dev.vublk.tools.bench.ProgressLine;
import dev.vublk.tools.bench.Verification;
import dev.vublk.tools.bench.Workload;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import sun.misc.Signal;

/** {@code vublk bench}: load on any vhost-user-blk back end, measured or verified. */
@Command(
        name = "bench",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Put load on a vhost-user-blk back end, of vublk or any other, as a guest's driver does; measure it or verify data.",
            "",
            "Connects to the socket, shares memory, sets up every queue that is offered and drives the first --queues of them"
                    + " from one thread. WRITES DESTROY what is on the disk: write, randwrite, randrw, verify, randverify.",
            "",
            "A latency is from the client's submission of a request to its sight of the completion; with --rate from when it"
                    + " was due, however late it was submitted (corrected for coordinated omission)."
        },
        footerHeading = "%nExamples:%n",
        footer = {
            "  vublk export null:1G --socket /tmp/null.sock &",
            "  vublk bench --socket /tmp/null.sock --rw randread --iodepth 32 --time 5",
            "  vublk bench --socket /tmp/disk.sock --rw randverify --iodepth 16 --queues 4 --event --time 10",
            "",
            "Exit status: 0 success, 1 a failed request, wrong data or a failure of the back end, 2 wrong usage."
        })
final class BenchCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // Set by picocli.
    private CommandSpec spec;

    @Option(
            names = "--socket",
            paramLabel = "PATH",
            required = true,
            description = "The back end's socket; several only with --connect-only.")
    private List<String> sockets = new ArrayList<>();

    @Option(
            names = "--rw",
            paramLabel = "KIND",
            converter = WorkloadConverter.class,
            description =
                    "randread (default), randwrite, read, write, randrw; verify: write everything, read it back and check"
                            + " every byte; randverify: with random overwriting and reading between the two.")
    private Workload workload = Workload.RANDREAD;

    @Option(
            names = "--bs",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Bytes of each request (default 4k).")
    private long blockBytes = 4096;

    @Option(names = "--iodepth", paramLabel = "N", description = "Requests in flight on each queue (default 1).")
    private int ioDepth = 1;

    @Option(names = "--queues", paramLabel = "N", description = "Active queues (default 1).")
    private int queues = 1;

    @Option(
            names = "--threads",
            paramLabel = "N",
            description = "Client threads; queue i is driven by thread i mod N (default 1).")
    private int threads = 1;

    @Option(
            names = "--time",
            paramLabel = "SECONDS",
            description = "How long is measured or verified (default 5); a verification makes at least one whole pass.")
    private double timeSeconds = 5;

    @Option(names = "--warmup", paramLabel = "SECONDS", description = "How long load is given before that (default 1).")
    private double warmupSeconds = 1;

    @Option(
            names = "--rate",
            paramLabel = "N",
            description = "Requests begun per second over all queues (default: as many as go).")
    private double ratePerSecond;

    @ArgGroup
    private final Waiting waiting = new Waiting();

    /** How a client thread waits. */
    static final class Waiting {
        @SuppressWarnings("UnusedVariable") // Says what is so anyway; the group refuses it together with --event.
        @Option(names = "--poll", description = "Look at the rings all the time (default).")
        private boolean poll;

        @Option(names = "--event", description = "Sleep until the back end interrupts.")
        private boolean event;
    }

    @Option(names = "--indirect", description = "Use an indirect descriptor table for each request.")
    private boolean indirect;

    @Option(names = "--packed", description = "Use packed rings.")
    private boolean packed;

    @Option(
            names = "--idle-queues",
            paramLabel = "all|none",
            converter = IdleQueuesConverter.class,
            description =
                    "Whether the offered queues that are not active are set up too, as a guest does (default all).")
    private IdleQueues idleQueues = IdleQueues.ALL;

    @Option(
            names = "--queue-size",
            paramLabel = "N",
            description = "Size of the active queues' rings (default: what the depth needs, at least 128).")
    private int queueSize;

    @Option(
            names = "--offset",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Where the part of the disk begins that is used (default 0).")
    private long offsetBytes;

    @Option(
            names = "--size",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Length of that part (default: to the end).")
    private long sizeBytes;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of everything random (default 1).")
    private long seed = 1;

    @Option(
            names = "--backend-pid",
            paramLabel = "PID",
            description = "Tell the CPU time of this process and how often it slept, too.")
    private long backendPid;

    @Option(
            names = "--connect-only",
            description =
                    "Connect to every --socket, set up all queues, read a block through each, print 'connected', and"
                            + " be idle until SIGTERM.")
    private boolean connectOnly;

    @Option(names = "--json", description = "Print JSON: latencies in microseconds, other times in seconds.")
    private boolean json;

    private BenchCommand() {}

    @Override
    public Integer call() throws Exception {
        if (connectOnly) {
            return stayIdle();
        }
        BenchOptions options = options();
        try (ProgressLine progress = ProgressLine.onTerminal(spec.commandLine().getErr(), options)) {
            return workload.isVerification() ? verify(options, progress) : measure(options, progress);
        }
    }

    private BenchOptions options() {
        if (sockets.size() != 1) {
            throw new ParameterException(spec.commandLine(), "--socket: only --connect-only takes several");
        }
        try {
            return BenchOptions.builder(sockets.getFirst())
                    .workload(workload)
                    .blockBytes(blockBytes)
                    .ioDepth(ioDepth)
                    .queues(queues)
                    .threads(threads)
                    .timeSeconds(timeSeconds)
                    .warmupSeconds(warmupSeconds)
                    .ratePerSecond(ratePerSecond)
                    .event(waiting.event)
                    .indirect(indirect)
                    .packed(packed)
                    .idleQueues(idleQueues == IdleQueues.ALL)
                    .queueSize(queueSize)
                    .range(offsetBytes, sizeBytes)
                    .seed(seed)
                    .backendPid(backendPid)
                    .build();
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), String.valueOf(e.getMessage()), e);
        }
    }

    private int measure(BenchOptions options, ProgressLine progress) throws IOException {
        BenchResult result = new Bench(options).run(progress);
        progress.close();
        BenchReport report = new BenchReport(result);
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            out.println(new ObjectMapper()
                    .enable(SerializationFeature.INDENT_OUTPUT)
                    .writeValueAsString(report.fields()));
        } else {
            out.print(report.text());
        }
        out.flush();
        if (result.errors() > 0) {
            throw new IOException(options.socket() + ": " + result.errors() + " requests failed, the first with status "
                    + result.firstErrorStatus());
        }
        return 0;
    }

    private int verify(BenchOptions options, ProgressLine progress) throws IOException {
        String done = new Verification(options).run(progress);
        progress.close();
        spec.commandLine().getOut().println(json ? "{\"verified\": \"" + done + "\"}" : "verified: " + done);
        spec.commandLine().getOut().flush();
        return 0;
    }

    private int stayIdle() throws IOException {
        CompletableFuture<Void> toldToStop = new CompletableFuture<>();
        Signal.handle(new Signal("TERM"), signal -> toldToStop.complete(null));
        Signal.handle(new Signal("INT"), signal -> toldToStop.complete(null));
        try (IdleDisks disks = IdleDisks.connect(sockets)) {
            PrintWriter out = spec.commandLine().getOut();
            out.println("connected: " + disks.diskCount() + " disks, " + disks.queueCount() + " queues");
            out.flush();
            toldToStop.join();
        }
        return 0;
    }

    /** {@code randread}, …. */
    static final class WorkloadConverter implements ITypeConverter<Workload> {
        @Override
        public Workload convert(String value) {
            return DiskDefaults.oneOf(Workload.class, value.toLowerCase(Locale.ROOT));
        }
    }

    /** Which of the queues that are not active are set up. */
    enum IdleQueues {
        ALL,
        NONE
    }

    /** {@code all}, {@code none}. */
    static final class IdleQueuesConverter implements ITypeConverter<IdleQueues> {
        @Override
        public IdleQueues convert(String value) {
            return DiskDefaults.oneOf(IdleQueues.class, value);
        }
    }
}
