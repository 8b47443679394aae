// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;

class PlainArgumentsTest {
    private static final List<String> VALUES = List.of(
            "raw",
            "qcow2",
            "auto",
            "RAW",
            "a.img",
            "b.img",
            "json",
            "human",
            "JSON",
            "leaks",
            "all",
            "none",
            "writeback",
            "unsafe",
            "directsync",
            "64K",
            "4096",
            "0",
            "7",
            "007",
            "0x7",
            "+3",
            "-1",
            "",
            "-",
            "--",
            "@file",
            "\"a b\"",
            "'x'",
            "a=b",
            "cluster_size=64k,lazy_refcounts=on",
            "zstd:3",
            "tty",
            "never",
            "9999999999");

    private static String[] words(String line) {
        return line.split(" ");
    }

    /** Every option and operand of a command, with its mixins', by the field's name. */
    private static Map<String, String> options(Object command) throws IllegalAccessException {
        Map<String, String> values = new TreeMap<>();
        for (Field field : command.getClass().getDeclaredFields()) {
            field.setAccessible(true);
            if (field.isAnnotationPresent(Mixin.class)) {
                options(field.get(command)).forEach((name, value) -> values.put(field.getName() + "." + name, value));
            } else if (field.isAnnotationPresent(Option.class) || field.isAnnotationPresent(Parameters.class)) {
                values.put(field.getName(), String.valueOf(field.get(command)));
            }
        }
        return values;
    }

    private static Object readByPicocli(String... args) {
        return VublkCommand.commandLine()
                .parseArgs(args)
                .subcommand()
                .commandSpec()
                .userObject();
    }

    /** The command with its options set; null where picocli must read them. */
    private static @Nullable PlainCommand plain(String... args) {
        PlainCommand command = requireNonNull(ShortCommand.of(args[0]));
        return command.plain().read(args) ? command : null;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert a.img b.img",
                "convert -f raw -O qcow2 -o cluster_size=64k a.img b.img",
                "convert a.img b.img -O qcow2 -c -m 4 -t none -T writeback -p",
                "convert --threads=2 --rate-limit 10M --progress=json -n --target-is-zero a.img b.img",
                "convert -B base.img -F raw -O qcow2 -S 4k -U --stats --json - b.img",
                "export-image --compress zstd:3 -l snap --resume a.img -",
                "info a.img",
                "info --backing-chain -U --json --output human -f qcow2 a.img",
                "check -r leaks -q --output=json a.img",
                "check --repair all -f raw a.img",
                "compare -f raw -F qcow2 -s -p -q -U a.img b.img",
                "map -s 4K -l 1M --output json a.img",
            })
    void shouldReadWhatIsPlainAsPicocliDoes(String line) throws Exception {
        Object plain = requireNonNull(plain(words(line)), "plain");

        assertThat(options(plain)).isEqualTo(options(readByPicocli(words(line))));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "convert --help",
                "convert a.img b.img c.img",
                "convert",
                "convert -fraw a.img b.img",
                "convert -cp a.img b.img",
                "convert -m 2 --threads 3 a.img b.img",
                "convert -m two a.img b.img",
                "convert -f -O qcow2 a.img b.img",
                "convert a.img b.img -f",
                "convert -c=on a.img b.img",
                "convert --log-level DEBUG a.img b.img",
                "convert --debug a.img b.img",
                "convert --from-control sock b.img",
                "convert -S four a.img b.img",
                "info",
                "info @a",
                "info -f vmdk a.img",
                "info --no-such-option a.img",
                "compare a.img",
                "map -- a.img",
            })
    void shouldLeaveToPicocliWhatIsNot(String line) {
        assertThat(plain(words(line))).isNull();
    }

    @Test
    void shouldNeverReadRandomArgumentsOtherwise() throws Exception {
        long seed = System.nanoTime();
        System.out.println("PlainArgumentsTest seed " + seed);
        Random random = new Random(seed);
        CommandLine line = VublkCommand.commandLine();
        List<String> commands = List.of("check", "compare", "convert", "export-image", "info", "map");
        int plainCount = 0;
        for (int i = 0; i < 1000; i++) {
            String command = commands.get(random.nextInt(commands.size()));
            List<String> args = new ArrayList<>(List.of(command));
            List<String> names =
                    requireNonNull(line.getSubcommands().get(command)).getCommandSpec().optionsMap().keySet().stream()
                            .filter(name -> !name.equals("-h") && !name.equals("--help"))
                            .filter(name -> !name.equals("-V") && !name.equals("--version"))
                            .sorted()
                            .toList();
            for (int words = random.nextInt(6); words > 0; words--) {
                String name = names.get(random.nextInt(names.size()));
                String value = VALUES.get(random.nextInt(VALUES.size()));
                switch (random.nextInt(4)) {
                    case 0 -> args.add(value);
                    case 1 -> args.add(name);
                    case 2 -> args.addAll(List.of(name, value));
                    default -> args.add(name + "=" + value);
                }
            }
            args.add("a.img");
            String[] array = args.toArray(String[]::new);
            Object plain = plain(array);
            if (plain == null) {
                continue;
            }
            plainCount++;
            try {
                assertThat(options(plain)).as("%s", args).isEqualTo(options(readByPicocli(array)));
            } catch (ParameterException e) {
                throw new AssertionError(args + " is wrong: " + e.getMessage() + " (seed " + seed + ")", e);
            }
        }
        assertThat(plainCount).isGreaterThan(30);
    }
}
