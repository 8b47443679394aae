// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.config.Property;
import org.jspecify.annotations.Nullable;

/**
 * Faults of ours that the product catches so that the process lives: it logs each as an error, with its exception. Nothing
 * that comes from outside may cause one.
 */
final class InternalFaults extends AbstractAppender {
    private static @Nullable InternalFaults instance;

    private @Nullable Throwable first;

    private InternalFaults() {
        super("internal-faults", null, null, true, Property.EMPTY_ARRAY);
    }

    /** Watches from now on what is logged, and has nothing else logged. */
    static InternalFaults watch() {
        InternalFaults watching = instance;
        if (watching == null) {
            watching = new InternalFaults();
            watching.start();
            Configurator.setRootLevel(Level.ERROR);
            LoggerContext context = (LoggerContext) LogManager.getContext(false);
            LoggerConfig root = context.getConfiguration().getRootLogger();
            root.getAppenders().keySet().forEach(root::removeAppender);
            root.addAppender(watching, Level.ERROR, null);
            context.updateLoggers();
            instance = watching;
        }
        watching.first = null;
        return watching;
    }

    @Override
    public void append(LogEvent event) {
        Throwable thrown = event.getThrown();
        if (thrown != null && first == null) {
            first = new AssertionError(event.getMessage().getFormattedMessage(), thrown);
        }
    }

    void check() {
        if (first instanceof AssertionError error) {
            throw error;
        }
    }
}
