// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.faulty;

import dev.vublk.blockdev.linux.Errno;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A mounted directory whose files live in memory, past the page cache: every call that reaches the file system is seen, and
 * fails when a {@link FaultRule} says so. Its own thread answers the kernel; everything else may be called by any thread.
 */
public final class FaultyDirectory implements AutoCloseable {
    static final long ROOT = 1;

    private static final int LAST_CLOSE_MS = 30_000;

    private final Path path;
    private final FuseMount mount;
    private final Thread server;

    // Guarded by this.
    private final Map<String, MemoryFile> names = new TreeMap<>();
    private final Map<Long, MemoryFile> nodes = new TreeMap<>();
    private final List<ArmedRule> rules = new ArrayList<>();
    private long nextNode = ROOT + 1;
    private int failures;
    private String lastFailure = "";

    private FaultyDirectory(Path path, FuseMount mount) {
        this.path = path;
        this.mount = mount;
        server = new Thread(this::serve, "faulty-directory");
        server.setDaemon(true);
    }

    /** Mounts one over an empty directory; skips the test, with the reason, where that cannot be. */
    public static FaultyDirectory mount(Path directory) throws IOException {
        FaultyDirectory mounted = new FaultyDirectory(directory, FuseMount.over(directory));
        mounted.server.start();
        return mounted;
    }

    public Path path() {
        return path;
    }

    /** From now on these calls fail as well. */
    public synchronized void fail(FaultRule rule) {
        rules.add(new ArmedRule(rule));
    }

    /** From now on nothing fails. */
    public synchronized void heal() {
        rules.clear();
    }

    /** How many calls have failed on purpose. */
    public synchronized int failures() {
        return failures;
    }

    /** What failed last, for messages of tests. */
    public synchronized String lastFailure() {
        return lastFailure;
    }

    /** The names of all files. */
    public synchronized List<String> files() {
        return List.copyOf(names.keySet());
    }

    /** What a file holds, without a call that could fail. */
    public synchronized byte[] content(String name) {
        MemoryFile file = names.get(name);
        if (file == null) {
            throw new IllegalArgumentException(name + " is not in " + names.keySet());
        }
        return file.content();
    }

    /** Puts a file there, without a call that could fail. */
    public synchronized Path put(String name, byte[] content) {
        MemoryFile file = names.get(name);
        if (file == null) {
            file = create(name, 0100644);
        }
        file.setSize(0);
        file.write(0, ByteBuffer.wrap(content));
        return path.resolve(name);
    }

    /** Removes every file and every rule. */
    public synchronized void clear() {
        heal();
        names.clear();
        nodes.clear();
    }

    private void serve() {
        // Whatever ends this thread ends the mount: nobody waits for ever for an answer.
        try (mount) {
            FuseRequests requests = new FuseRequests(this, mount);
            while (requests.answerNext()) {
                // Until it is unmounted.
            }
        }
    }

    /** The errno of a call that is to fail, 0 for one that is not. */
    synchronized int errnoOf(FileCall call, String name, long offsetBytes, long lengthBytes) {
        for (ArmedRule armed : rules) {
            if (armed.strikes(call, name, offsetBytes, lengthBytes)) {
                failures++;
                lastFailure = call + " of '" + name + "' at " + offsetBytes + " + " + lengthBytes;
                return armed.rule.errno();
            }
        }
        return 0;
    }

    synchronized MemoryFile create(String name, int mode) {
        MemoryFile file = new MemoryFile(nextNode++, name, mode);
        nodes.put(file.node, file);
        names.put(name, file);
        return file;
    }

    @org.jspecify.annotations.Nullable
    synchronized MemoryFile named(String name) {
        return names.get(name);
    }

    /** Also one that has lost its name; null for one that {@link #clear} has removed. */
    @Nullable
    synchronized MemoryFile node(long node) {
        return nodes.get(node);
    }

    synchronized int remove(String name) {
        MemoryFile file = names.remove(name);
        if (file == null) {
            return Errno.ENOENT;
        }
        file.linkCount--;
        return 0;
    }

    synchronized int rename(String from, String to) {
        MemoryFile file = names.remove(from);
        if (file == null) {
            return Errno.ENOENT;
        }
        file.name = to;
        names.put(to, file);
        return 0;
    }

    synchronized void link(MemoryFile file, String name) {
        file.linkCount++;
        file.name = name;
        names.put(name, file);
    }

    /** Unmounts it; throws when somebody has not closed a file, for the kernel keeps it until then. */
    @Override
    public void close() {
        mount.unmount();
        try {
            server.join(LAST_CLOSE_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (server.isAlive()) {
            throw new IllegalStateException(path + ": a file there has never been closed");
        }
    }

    /** A rule, and how often it has matched. Guarded by the directory. */
    private static final class ArmedRule {
        private final FaultRule rule;
        private int matches;

        private ArmedRule(FaultRule rule) {
            this.rule = rule;
        }

        private boolean strikes(FileCall call, String name, long offsetBytes, long lengthBytes) {
            if (!rule.matches(call, name, offsetBytes, lengthBytes)) {
                return false;
            }
            int number = matches++;
            return number >= rule.skipped() && number - rule.skipped() < rule.failing();
        }
    }
}
