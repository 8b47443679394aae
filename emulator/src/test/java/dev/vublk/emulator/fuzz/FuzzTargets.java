// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

/** What is fuzzed: the names that {@code scripts/fuzz.sh} and {@link FuzzIT} know. */
final class FuzzTargets {
    private FuzzTargets() {}

    /** Bytes of a message through the parser for its number. */
    public static final class Messages {
        private Messages() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> MessageBytes.parse(input));
        }
    }

    /** Message sequences through a whole session, with rings that run meanwhile. */
    public static final class Session {
        private Session() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> FuzzedSession.runMessages(input));
        }
    }

    /** Requests of any shape on rings that were set up well, and accesses to the configuration space. */
    public static final class Requests {
        private Requests() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> FuzzedSession.runRequests(input));
        }
    }

    /** A split ring that changes while it is read. */
    public static final class SplitRing {
        private SplitRing() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> FuzzedRing.run(input, false));
        }
    }

    /** A packed ring that changes while it is read. */
    public static final class PackedRing {
        private PackedRing() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> FuzzedRing.run(input, true));
        }
    }

    /** In-flight regions that somebody writes in, of split and packed rings. */
    public static final class Inflight {
        private Inflight() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> FuzzedInflight.run(input));
        }
    }

    /** Images, and the metadata of emulated zones. */
    public static final class Images {
        private Images() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> OpenedImage.run(input));
        }
    }

    /** Qcow2 images that somebody else has made. */
    public static final class Qcow2 {
        private Qcow2() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> HostileQcow2.run(input));
        }
    }

    /** The same, checked and repaired. */
    public static final class Qcow2Check {
        private Qcow2Check() {}

        public static void fuzzerTestOneInput(byte[] input) {
            DescriptorCount.around(() -> HostileQcow2.repair(input));
        }
    }
}
