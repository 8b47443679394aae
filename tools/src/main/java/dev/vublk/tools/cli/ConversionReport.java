// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.vublk.emulator.worker.compress.CodecStats;
import dev.vublk.tools.image.Conversion;
import dev.vublk.tools.image.CopyProgress;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** What a conversion has done, for {@code --stats}. */
final class ConversionReport {
    private ConversionReport() {}

    /** Some lines for people. */
    static String text(Conversion conversion) {
        CopyProgress progress = conversion.startedProgress();
        String text = String.format(
                Locale.ROOT,
                "disk: %d bytes (%d data, %d zero, %d in the backing file)%ntime: %.2f s, %.1f MB/s of the disk",
                progress.doneBytes(),
                progress.dataBytes(),
                progress.zeroBytes(),
                progress.sameBytes(),
                progress.elapsedNs() / 1e9,
                progress.doneBytes() * 1e3 / progress.elapsedNs());
        CodecStats codec = conversion.codecStats();
        return codec == null ? text : text + System.lineSeparator() + codec;
    }

    /** A JSON object for programs: sizes in bytes. */
    static String json(Conversion conversion) throws JsonProcessingException {
        CopyProgress progress = conversion.startedProgress();
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("virtual-size", progress.doneBytes());
        map.put("data-bytes", progress.dataBytes());
        map.put("zero-bytes", progress.zeroBytes());
        map.put("same-bytes", progress.sameBytes());
        map.put("broken-bytes", conversion.brokenBytes());
        map.put("elapsed-ms", progress.elapsedNs() / 1_000_000);
        map.put("bytes-per-second", progress.doneBytes() * 1_000_000_000.0 / progress.elapsedNs());
        CodecStats codec = conversion.codecStats();
        if (codec != null) {
            map.put("codec", codec.fields());
        }
        return new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(map);
    }
}
