// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Open descriptors before and after an input: it may leave none. */
final class DescriptorCount {
    private static final File DESCRIPTORS = new File("/proc/self/fd");

    /** To tell whose descriptors are costs more than to count them: that is done only when there are more than before. */
    private static int lastCount = -1;

    private static List<String> lastTargets = List.of();

    private DescriptorCount() {}

    static void around(Runnable input) {
        boolean ended = false;
        try {
            input.run();
            ended = true;
        } finally {
            if (!ended) {
                growsOnce(); // What failed leaves things behind; that is not to be told instead.
            }
        }
        check();
    }

    /** This input has made something that stays for those after it. */
    static void growsOnce() {
        lastCount = -1;
    }

    private static void check() {
        String[] names = DESCRIPTORS.list();
        int count = names == null ? 0 : names.length;
        if (count <= lastCount) {
            return;
        }
        boolean first = lastCount < 0;
        List<String> targets = targets(names == null ? new String[0] : names);
        List<String> left = new ArrayList<>(targets);
        lastTargets.forEach(left::remove);
        boolean more = targets.size() > lastTargets.size();
        lastCount = count;
        lastTargets = targets;
        if (!first && more) {
            throw new AssertionError("descriptors are left open: " + left);
        }
    }

    /** What the descriptors are of, but for what the virtual machine opens and keeps when it loads classes. */
    private static List<String> targets(String[] names) {
        List<String> targets = new ArrayList<>();
        for (String name : names) {
            try {
                String target =
                        Files.readSymbolicLink(Path.of("/proc/self/fd", name)).toString();
                boolean isOfTheMachine = target.contains(".jar")
                        || target.startsWith("/proc/")
                        || target.contains("/jvm/")
                        || target.contains("/test-classes/");
                if (!isOfTheMachine) {
                    targets.add(target);
                }
            } catch (IOException e) {
                // Closed since it was listed.
            }
        }
        return targets;
    }
}
