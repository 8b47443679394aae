// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.ArrayList;
import java.util.Formatter;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a process spends its time: stacks, each as wide as it is frequent, callers below. One thread. */
final class FlameGraph {
    private static final int WIDTH = 1200;
    private static final int MARGIN = 10;
    private static final int TOP = 40;
    private static final int FRAME_HEIGHT = 16;
    private static final double CHARACTER_WIDTH = 6.2;
    private static final double NARROWEST = 0.5;

    private static final String KERNEL = "#ee9955";
    private static final String JAVA = "#88bb77";
    private static final String NATIVE = "#ddcc77";

    /** An address, and what is there. */
    private static final Pattern FRAME = Pattern.compile("\\s+([0-9a-f]+) (.*)");

    /** A Java method as the virtual machine's map has it: result, class, method, parameters. */
    private static final Pattern METHOD = Pattern.compile("(?:\\S+ )?([\\w$./]+)\\.([\\w$<>]+)\\(.*");

    /** One way to a function, and what it calls. */
    private static final class Frame {
        final String name;
        final String colour;
        final Map<String, Frame> callees = new TreeMap<>();
        long samples;

        Frame(String name, String colour) {
            this.name = name;
            this.colour = colour;
        }

        int depth() {
            return 1 + callees.values().stream().mapToInt(Frame::depth).max().orElse(0);
        }
    }

    private final Frame all = new Frame("all", NATIVE);
    private final Map<String, Long> inFunction = new TreeMap<>();
    private long inKernel;

    private FlameGraph() {}

    /** Of lines of {@code perf script -F comm,tid,ip,sym}, of the threads whose name begins so. */
    static FlameGraph of(String script, String threadPrefix) {
        FlameGraph graph = new FlameGraph();
        List<Frame> stack = new ArrayList<>();
        boolean wanted = false;
        for (String line : (Iterable<String>) script.lines()::iterator) {
            Matcher frame = FRAME.matcher(line);
            if (line.isBlank()) {
                if (wanted) {
                    graph.add(stack.reversed());
                }
                stack.clear();
                wanted = false;
            } else if (frame.matches()) {
                stack.add(frame(Long.parseUnsignedLong(frame.group(1), 16), frame.group(2)));
            } else {
                wanted = line.startsWith(threadPrefix);
            }
        }
        if (wanted) {
            graph.add(stack.reversed());
        }
        return graph;
    }

    private static Frame frame(long address, String symbol) {
        if (address < 0) {
            return new Frame(symbol, KERNEL); // The upper half of the addresses.
        }
        Matcher method = METHOD.matcher(symbol);
        return method.matches()
                ? new Frame(
                        method.group(1).substring(method.group(1).lastIndexOf('.') + 1) + "." + method.group(2), JAVA)
                : new Frame(symbol, NATIVE);
    }

    private void add(List<Frame> stack) {
        Frame at = all;
        at.samples++;
        if (!stack.isEmpty()) {
            Frame leaf = stack.getLast();
            inFunction.merge(leaf.name, 1L, Long::sum);
            inKernel += leaf.colour.equals(KERNEL) ? 1 : 0;
        }
        for (Frame each : stack) {
            if (each.name.equals(at.name)) {
                continue; // The interpreter, which has one name for all it runs.
            }
            at = at.callees.computeIfAbsent(each.name, _ -> each);
            at.samples++;
        }
    }

    long samples() {
        return all.samples;
    }

    /** The part of the time that is spent in the kernel. */
    double partInKernel() {
        return samples() == 0 ? 0 : inKernel / (double) samples();
    }

    /** The functions in which at least that part of the time is spent, themselves and not what they call; most of it first. */
    Map<String, Double> functions(double leastPart) {
        Map<String, Double> functions = new LinkedHashMap<>();
        inFunction.entrySet().stream()
                .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
                .filter(entry -> entry.getValue() >= leastPart * samples())
                .forEach(entry -> functions.put(entry.getKey(), entry.getValue() / (double) samples()));
        return functions;
    }

    /** A picture; pointing at a frame tells its name and part. */
    String svg(String title) {
        int height = TOP + all.depth() * FRAME_HEIGHT + MARGIN;
        Formatter svg = new Formatter(Locale.ROOT);
        svg.format(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\""
                        + " font-size=\"11\">%n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>%n",
                WIDTH + 2 * MARGIN, height);
        svg.format("<text x=\"%d\" y=\"24\" font-size=\"15\">%s</text>%n", MARGIN, escape(title));
        if (samples() > 0) {
            draw(svg, all, MARGIN, height - MARGIN - FRAME_HEIGHT, (double) WIDTH / samples());
        }
        return svg.format("</svg>%n").toString();
    }

    private void draw(Formatter svg, Frame frame, double x, int y, double pixels) {
        double width = frame.samples * pixels;
        if (width < NARROWEST) {
            return;
        }
        svg.format(
                "<g><title>%s: %.1f %%</title><rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                escape(frame.name),
                100.0 * frame.samples / samples(),
                x,
                y,
                Math.max(width - 0.3, NARROWEST),
                FRAME_HEIGHT - 1,
                frame.colour);
        int characters = (int) (width / CHARACTER_WIDTH) - 1;
        if (characters > 2) {
            String name = frame.name.length() <= characters ? frame.name : frame.name.substring(0, characters);
            svg.format("<text x=\"%.1f\" y=\"%d\">%s</text>", x + 2, y + FRAME_HEIGHT - 5, escape(name));
        }
        svg.format("</g>%n");
        for (Frame callee : frame.callees.values()) {
            draw(svg, callee, x, y - FRAME_HEIGHT, pixels);
            x += callee.samples * pixels;
        }
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
