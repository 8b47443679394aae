// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockOpenException;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.regex.Pattern;

/**
 * The name of another file as an image gives it, made a path. An image may come from anywhere: its names reach files by path, and
 * nothing else. Any thread.
 */
final class ImageReference {
    /** As QEMU sees it: a colon before any slash. */
    private static final Pattern PROTOCOL = Pattern.compile("[^/:]+:.*", Pattern.DOTALL);

    private static final String FILE_PROTOCOL = "file:";

    private ImageReference() {}

    /**
     * The path that a name means.
     *
     * @param image path of the image that has the name; relative names begin in its directory
     * @param what what it is a name of, for messages
     * @throws BlockOpenException it is no path
     */
    static String resolve(String image, String name, String what) throws BlockOpenException {
        if (name.startsWith("json:")) {
            throw new BlockOpenException(image + ": qcow2: its " + what
                    + " is given as json:, which is not supported; qemu-img rebase -u can give it a path");
        }
        String path = name.startsWith(FILE_PROTOCOL) ? name.substring(FILE_PROTOCOL.length()) : name;
        if (path.isEmpty()) {
            throw new BlockOpenException(image + ": qcow2: its " + what + " has no name");
        }
        if (path.equals(name) && PROTOCOL.matcher(name).matches()) {
            throw new BlockOpenException(image + ": qcow2: its " + what + " '" + printable(name)
                    + "' is reached by a protocol; only files and block devices are supported");
        }
        if (path.startsWith("/")) {
            return path;
        }
        // By text, not by Path: what QEMU opens for the same name, ".." and links included.
        int slash = image.lastIndexOf('/');
        return slash < 0 ? path : image.substring(0, slash + 1) + path;
    }

    /** For messages: the image may say anything. */
    static String printable(String name) {
        return name.replaceAll("\\p{Cntrl}", "?");
    }

    /** The file itself, for telling whether two names mean the same one. */
    static String identity(String path) {
        try {
            return Path.of(path).toRealPath().toString();
        } catch (IOException | InvalidPathException e) {
            return path; // It cannot be opened, or this JVM's locale has no letters for its name.
        }
    }
}
