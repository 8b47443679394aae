// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the tables of this module's README say of features and messages is what is offered and known. */
final class FeatureTablesTest {
    private static final long DEVICES_OWN = 0xffffffL | -1L << 50;

    private static final SessionOptions EVERYTHING = SessionOptions.DEFAULT.with(OptionalFeature.values());

    /** What is there and what not, for people who look for one thing; the same as in the README. */
    private static final Path OVERVIEW = Path.of("../docs/protocol.md");

    private static List<String[]> table(String heading) throws IOException {
        return table(Path.of("README.md"), heading);
    }

    /** The rows of a table, as cells, by its heading. */
    private static List<String[]> table(Path file, String heading) throws IOException {
        List<String> lines = Files.readAllLines(file);
        int first = lines.indexOf(heading);
        assertThat(first).as(heading).isNotNegative();
        return lines.subList(first + 2, lines.size()).stream()
                .takeWhile(line -> line.startsWith("|"))
                .map(line -> line.substring(2).split(" \\|", -1))
                .toList();
    }

    private static int[] numbers(String cell) {
        return Arrays.stream(cell.split(","))
                .map(String::strip)
                .mapToInt(Integer::parseInt)
                .toArray();
    }

    private static long offered(List<String[]> table, String howItBegins) {
        return table.stream()
                .filter(row -> row[2].strip().startsWith(howItBegins))
                .flatMapToInt(row -> Arrays.stream(numbers(row[0])))
                .mapToLong(bit -> 1L << bit)
                .reduce(0, (a, b) -> a | b);
    }

    @Test
    void shouldOfferTheProtocolFeaturesOfTheTable() throws Exception {
        List<String[]> table = table("| bit | protocol feature | vublk |");
        long plain = new FeatureNegotiation(0, true, SessionOptions.DEFAULT).protocolOffered();
        assertThat(offered(table, "yes")).isEqualTo(plain);
        assertThat(offered(table, "with `--"))
                .isEqualTo(new FeatureNegotiation(0, true, EVERYTHING.without(OptionalFeature.ACCESS_PLATFORM))
                                .protocolOffered()
                        & ~plain);
        assertThat(table.stream().mapToInt(row -> numbers(row[0]).length).sum())
                .isEqualTo(ProtocolFeature.values().length);
    }

    @Test
    void shouldOfferTheRingFeaturesOfTheTable() throws Exception {
        List<String[]> table = table("| bit | ring or transport feature | vublk |");
        long plain = new FeatureNegotiation(0, true, SessionOptions.DEFAULT).offered();
        assertThat(plain & DEVICES_OWN).isZero();
        assertThat(offered(table, "yes")).isEqualTo(plain);
        assertThat(offered(table, "with `--"))
                .isEqualTo(new FeatureNegotiation(0, true, EVERYTHING).offered() & ~plain);
    }

    @Test
    void shouldHaveARowForEveryMessage() throws Exception {
        assertThat(table("| id | message | what vublk does | reply |").stream()
                        .flatMapToInt(row -> Arrays.stream(numbers(row[0]))))
                .containsExactly(Arrays.stream(FrontendRequest.values())
                        .mapToInt(FrontendRequest::id)
                        .boxed()
                        .toArray(Integer[]::new));
        assertThat(table("| id | message to the front end | when vublk sends it |").stream()
                        .flatMapToInt(row -> Arrays.stream(numbers(row[0]))))
                .containsExactly(Arrays.stream(BackendRequest.values())
                        .mapToInt(BackendRequest::id)
                        .boxed()
                        .toArray(Integer[]::new));
    }

    private static long offeredByOverview(String heading, String howItBegins) throws IOException {
        return offered(table(OVERVIEW, heading), howItBegins);
    }

    @Test
    void shouldSayTheSameInTheOverview() throws Exception {
        String protocol = "| bit | protocol feature | vublk | shown by | peers |";
        String rings = "| bit | ring or transport feature | vublk | shown by | peers |";
        FeatureNegotiation plain = new FeatureNegotiation(0, true, SessionOptions.DEFAULT);
        FeatureNegotiation all = new FeatureNegotiation(0, true, EVERYTHING.without(OptionalFeature.ACCESS_PLATFORM));
        assertThat(offeredByOverview(protocol, "Y")).isEqualTo(all.protocolOffered());
        assertThat(offeredByOverview(protocol, "Y*")).isEqualTo(all.protocolOffered() & ~plain.protocolOffered());
        long allRings = new FeatureNegotiation(0, true, EVERYTHING).offered();
        assertThat(offeredByOverview(rings, "Y")).isEqualTo(allRings);
        assertThat(offeredByOverview(rings, "Y*")).isEqualTo(allRings & ~plain.offered());
        assertThat(table(OVERVIEW, protocol)).hasSize(ProtocolFeature.values().length);
    }

    /** A message is served here exactly if the README does not call it unknown. */
    @Test
    void shouldHaveEveryMessageInTheOverview() throws Exception {
        Map<Integer, Boolean> served = new TreeMap<>();
        for (String[] row : table("| id | message | what vublk does | reply |")) {
            for (int id : numbers(row[0])) {
                served.put(id, !row[2].strip().startsWith("unknown"));
            }
        }
        Map<Integer, Boolean> told = new TreeMap<>();
        for (String[] row : table(OVERVIEW, "| id | message | vublk | shown by | peers |")) {
            told.put(numbers(row[0])[0], row[2].strip().startsWith("Y"));
        }
        assertThat(told).isEqualTo(served);
    }

    /** Whoever looks for a test finds it. */
    @Test
    void shouldNameTestsThatAreThere() throws Exception {
        Set<String> files;
        try (Stream<Path> all = Files.walk(Path.of(".."))) {
            files = all.map(path -> path.getFileName().toString())
                    .filter(name -> name.endsWith(".java"))
                    .collect(Collectors.toSet());
        }
        Matcher names =
                Pattern.compile("`(?:[a-z]+\\.)*([A-Za-z]+(?:Test|IT))`").matcher(Files.readString(OVERVIEW));
        int count = 0;
        while (names.find()) {
            assertThat(files).contains(names.group(1) + ".java");
            count++;
        }
        assertThat(count).isGreaterThan(100);
    }

    /** Who offers a feature serves its messages: see {@link MalformedMessageTest} for the others. */
    @Test
    void shouldCallUnknownWhatNeedsAFeatureThatIsNeverOffered() throws Exception {
        long offered =
                new FeatureNegotiation(0, true, EVERYTHING.without(OptionalFeature.ACCESS_PLATFORM)).protocolOffered();
        for (String[] row : table("| id | message | what vublk does | reply |")) {
            for (int id : numbers(row[0])) {
                FrontendRequest request = FrontendRequest.byId(id);
                ProtocolFeature feature = request == null ? null : request.feature();
                boolean unknown = feature != null && !feature.isIn(offered);
                if (feature != null) {
                    assertThat(row[2].strip().startsWith("unknown"))
                            .as("%s", request)
                            .isEqualTo(unknown);
                }
            }
        }
    }
}
