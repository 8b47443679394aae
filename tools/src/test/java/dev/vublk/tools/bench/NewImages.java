// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Empty qcow2 images that one back end serves, each of which is written once. One thread. */
final class NewImages implements AutoCloseable {
    /** More clusters than a measurement writes. */
    private static final String SIZE = "64G";

    private final ComparedServer server;
    private final List<Path> images;
    private final List<Path> sockets;
    private int used;

    private NewImages(ComparedServer server, List<Path> images, List<Path> sockets) {
        this.server = server;
        this.images = images;
        this.sockets = sockets;
    }

    /** Makes so many, and one besides. */
    static NewImages start(String name, Path directory, ComparedDisk disk, int count)
            throws IOException, InterruptedException {
        List<Path> images = new ArrayList<>();
        List<Path> sockets = new ArrayList<>();
        for (int i = 0; i <= count; i++) {
            images.add(directory.resolve(name + "-" + i + ".qcow2"));
            sockets.add(directory.resolve(name + "-" + i + ".sock"));
            Machine.output(List.of(
                    "qemu-img", "create", "-q", "-f", "qcow2", images.getLast().toString(), SIZE));
        }
        List<String> command = disk.command(name.equals(Comparison.VUBLK), Comparison.launcher(), images, sockets);
        ComparedServer server = ComparedServer.start(name, directory, sockets.getLast(), command);
        return new NewImages(server, images, sockets);
    }

    /** The back end with the next one; the one before gives its memory back. */
    ComparedServer next() {
        if (used > 0) {
            try {
                Machine.output(List.of(
                        "fallocate",
                        "--punch-hole",
                        "--offset",
                        "1MiB",
                        "--length",
                        "1TiB",
                        images.get(used - 1).toString()));
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(images.get(used - 1) + ": cannot be emptied", e);
            }
        }
        return server.at(sockets.get(used++));
    }

    @Override
    public void close() {
        server.kill();
    }
}
