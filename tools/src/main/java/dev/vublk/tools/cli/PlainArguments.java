// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static java.util.Objects.requireNonNullElse;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The options of a command that is over soon, for arguments that need no second thought: picocli takes longer to be set up than
 * such a command runs. What is not plainly right is left to picocli, which then reads all of it, and says what is wrong. So nothing is
 * decided here that picocli would decide otherwise; a test compares.
 */
final class PlainArguments {
    private final Map<String, Consumer<String>> values = new HashMap<>();
    private final Map<String, Runnable> switches = new HashMap<>();
    private final Consumer<String> operand;
    private final int operandsMin;
    private final int operandsMax;

    /** @param operand takes what is no option, so many times */
    PlainArguments(int operandsMin, int operandsMax, Consumer<String> operand) {
        this.operandsMin = operandsMin;
        this.operandsMax = operandsMax;
        this.operand = operand;
    }

    /** An option with a value. {@code set} throws an {@link IllegalArgumentException} where picocli must look. */
    PlainArguments value(Consumer<String> set, String... names) {
        for (String name : names) {
            values.put(name, set);
        }
        return this;
    }

    /** An option without a value. */
    PlainArguments flag(Runnable set, String... names) {
        for (String name : names) {
            switches.put(name, set);
        }
        return this;
    }

    /** Sets what the arguments behind the command's name say; false when picocli must read them, into another command. */
    boolean read(String[] args) {
        try {
            return readAll(args);
        } catch (RuntimeException e) {
            return false; // A value that is none, whatever a converter throws then.
        }
    }

    private boolean readAll(String[] args) {
        Set<Object> seen = new HashSet<>();
        int operands = 0;
        for (int i = 1; i < args.length; i++) {
            String arg = args[i];
            if (arg.equals("-") || isWord(arg)) {
                operand.accept(arg);
                operands++;
                continue;
            }
            int equals = arg.indexOf('=');
            String name = equals < 0 ? arg : arg.substring(0, equals);
            Runnable flag = switches.get(arg);
            Consumer<String> set = values.get(name);
            if (!seen.add(flag == null ? requireNonNullElse(set, arg) : flag)) {
                return false;
            }
            if (flag != null) {
                flag.run();
            } else if (set == null) {
                return false;
            } else if (equals >= 0 && isWord(arg.substring(equals + 1))) {
                set.accept(arg.substring(equals + 1));
            } else if (equals < 0 && ++i < args.length && isWord(args[i])) {
                set.accept(args[i]);
            } else {
                return false;
            }
        }
        return operands >= operandsMin && operands <= operandsMax;
    }

    /** Neither an option, nor a file of arguments, nor empty, nor in quotes. */
    private static boolean isWord(String arg) {
        return !arg.isEmpty() && "-@\"'".indexOf(arg.charAt(0)) < 0;
    }

    /** A whole number from 0 on. */
    static int number(String text) {
        if (text.length() > 9 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            throw new IllegalArgumentException(text);
        }
        return Integer.parseInt(text);
    }
}
