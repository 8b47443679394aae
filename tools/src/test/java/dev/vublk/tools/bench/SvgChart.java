// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.Formatter;
import java.util.List;
import java.util.Locale;

/** A picture of measured values: groups of bars, or lines over time. */
final class SvgChart {
    private static final int WIDTH = 760;
    private static final int HEIGHT = 360;
    private static final int LEFT = 80;
    private static final int TOP = 70;
    private static final int RIGHT = 20;
    private static final int BOTTOM = 50;
    private static final int PLOT_WIDTH = WIDTH - LEFT - RIGHT;
    private static final int PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
    private static final int TICKS = 5;

    /** Distinct to those who do not see all colours. */
    private static final List<String> COLOURS = List.of("#bbbbbb", "#ee7733", "#0077bb", "#009988");

    /** A point of a line. */
    record Point(double x, double y) {}

    private final Formatter svg = new Formatter(Locale.ROOT);

    private SvgChart(String title, List<String> series) {
        svg.format(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\""
                        + " font-size=\"12\">%n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>%n",
                WIDTH, HEIGHT);
        svg.format("<text x=\"%d\" y=\"24\" font-size=\"15\">%s</text>%n", LEFT, title);
        for (int i = 0; i < series.size(); i++) {
            int x = LEFT + i * PLOT_WIDTH / series.size();
            svg.format("<rect x=\"%d\" y=\"40\" width=\"12\" height=\"12\" fill=\"%s\"/>", x, colour(i, series));
            svg.format("<text x=\"%d\" y=\"51\">%s</text>%n", x + 18, series.get(i));
        }
    }

    private static String colour(int index, List<String> series) {
        // The last series is the one that the others are compared with.
        return COLOURS.get(COLOURS.size() - series.size() + index);
    }

    /** Bars: {@code values[group][series]}. */
    static String bars(String title, String unit, List<String> groups, List<String> series, double[][] values) {
        SvgChart chart = new SvgChart(title, series);
        double most = 0;
        for (double[] group : values) {
            for (double value : group) {
                most = Math.max(most, value);
            }
        }
        double top = chart.axis(unit, most);
        double groupWidth = (double) PLOT_WIDTH / groups.size();
        double barWidth = groupWidth * 0.8 / series.size();
        for (int g = 0; g < groups.size(); g++) {
            for (int s = 0; s < series.size(); s++) {
                double height = values[g][s] / top * PLOT_HEIGHT;
                chart.svg.format(
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>%n",
                        LEFT + groupWidth * (g + 0.1) + barWidth * s,
                        TOP + PLOT_HEIGHT - height,
                        barWidth * 0.95,
                        height,
                        colour(s, series));
            }
            chart.below(LEFT + groupWidth * (g + 0.5), groups.get(g));
        }
        return chart.end();
    }

    /** Lines over seconds. */
    static String lines(String title, String unit, List<String> series, List<List<Point>> lines) {
        SvgChart chart = new SvgChart(title, series);
        List<Point> all = lines.stream().flatMap(List::stream).toList();
        double top = chart.axis(unit, all.stream().mapToDouble(Point::y).max().orElse(1));
        double last = Math.ceil(all.stream().mapToDouble(Point::x).max().orElse(1));
        for (int s = 0; s < series.size(); s++) {
            chart.svg.format("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour(s, series));
            for (Point point : lines.get(s)) {
                chart.svg.format(
                        "%.1f,%.1f ",
                        LEFT + point.x() / last * PLOT_WIDTH, TOP + PLOT_HEIGHT - point.y() / top * PLOT_HEIGHT);
            }
            chart.svg.format("\"/>%n");
        }
        for (int second = 0; second <= last; second++) {
            chart.below(LEFT + second / last * PLOT_WIDTH, second + " s");
        }
        return chart.end();
    }

    /** Draws the vertical axis; returns the value at its top. */
    private double axis(String unit, double most) {
        double step = niceStep(most / TICKS);
        double top = step * Math.max(1, Math.ceil(most / step));
        for (int i = 0; i * step <= top * 1.0001; i++) {
            double y = TOP + PLOT_HEIGHT - i * step / top * PLOT_HEIGHT;
            svg.format(
                    "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>",
                    LEFT, WIDTH - RIGHT, y, y);
            svg.format(
                    "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s %s</text>%n",
                    LEFT - 6,
                    y + 4,
                    step < 1 ? String.format(Locale.ROOT, "%.1f", i * step) : Math.round(i * step),
                    unit);
        }
        return top;
    }

    /** 1, 2 or 5 times a power of ten, not below {@code least}. */
    private static double niceStep(double least) {
        double power = Math.pow(10, Math.floor(Math.log10(Math.max(least, 1e-9))));
        for (double factor : new double[] {1, 2, 5}) {
            if (factor * power >= least) {
                return factor * power;
            }
        }
        return 10 * power;
    }

    private void below(double x, String text) {
        svg.format("<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>%n", x, TOP + PLOT_HEIGHT + 20, text);
    }

    private String end() {
        return svg.format("</svg>%n").toString();
    }
}
