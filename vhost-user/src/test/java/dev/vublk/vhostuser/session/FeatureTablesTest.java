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
import org.junit.jupiter.api.Test;

/** What the tables of this module's README say of features and messages is what is offered and known. */
final class FeatureTablesTest {
    private static final long DEVICES_OWN = 0xffffffL | -1L << 50;

    /** The rows of a table, as cells, by its heading. */
    private static List<String[]> table(String heading) throws IOException {
        List<String> lines = Files.readAllLines(Path.of("README.md"));
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
                .isEqualTo(new FeatureNegotiation(0, true, new SessionOptions(true, true, true, true)).protocolOffered()
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
                .isEqualTo(
                        new FeatureNegotiation(0, true, new SessionOptions(true, true, true, true)).offered() & ~plain);
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

    /** Who offers a feature serves its messages: see {@link MalformedMessageTest} for the others. */
    @Test
    void shouldCallUnknownWhatNeedsAFeatureThatIsNeverOffered() throws Exception {
        long offered = new FeatureNegotiation(0, true, new SessionOptions(true, true, true, true)).protocolOffered();
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
