// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import picocli.CommandLine.IVersionProvider;

/** Tells the version that the build wrote into the jar's manifest. */
final class VersionProvider implements IVersionProvider {
    @Override
    public String[] getVersion() {
        String version = VersionProvider.class.getPackage().getImplementationVersion();
        return new String[] {
            "vublk " + (version != null ? version : "(not packaged)"),
            "Java " + Runtime.version() + ", " + System.getProperty("os.arch")
        };
    }
}
