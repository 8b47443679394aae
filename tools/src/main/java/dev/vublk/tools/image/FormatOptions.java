// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Options of an image format as {@code -o} has them: {@code key=value,…}, where {@code ,,} is a comma in a value. */
public final class FormatOptions {
    private final Map<String, String> values = new LinkedHashMap<>();

    /** Takes in one {@code -o}; later ones win. Throws {@link IllegalArgumentException} with a line for the user. */
    public void parse(String text) {
        for (String pair : text.split("(?<!,),(?!,)", -1)) {
            int equals = pair.indexOf('=');
            String key = equals < 0 ? pair : pair.substring(0, equals);
            if (key.isEmpty()) {
                throw new IllegalArgumentException("'" + text + "' is not of the form KEY=VALUE,...");
            }
            values.put(key, equals < 0 ? "on" : pair.substring(equals + 1).replace(",,", ","));
        }
    }

    /** The value of a key, or null. */
    public @Nullable String value(String key) {
        return values.get(key);
    }

    public String value(String key, String byDefault) {
        return values.getOrDefault(key, byDefault);
    }

    /** Sets a value unless it is given. */
    public void putIfAbsent(String key, String value) {
        values.putIfAbsent(key, value);
    }

    public boolean isOn(String key) {
        String value = value(key, "off");
        return switch (value) {
            case "on", "yes", "true" -> true;
            case "off", "no", "false" -> false;
            default -> throw new IllegalArgumentException(key + ": '" + value + "' is neither on nor off");
        };
    }

    /** Throws {@link IllegalArgumentException} when there is another key than these. */
    public void checkKeys(String format, Set<String> known) {
        for (String key : values.keySet()) {
            if (!known.contains(key)) {
                throw new IllegalArgumentException("format " + format + " has no option '" + key + "'; it has "
                        + String.join(", ", known.stream().sorted().toList()));
            }
        }
    }
}
