// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What lies behind the back ends that are compared, and how each is told to serve it: as best it can. */
enum ComparedDisk {
    NULL("null"),
    TMPFS("tmpfs"),
    EXT4("file, O_DIRECT");

    private static final int QUEUES = 4;

    final String label;

    ComparedDisk(String label) {
        this.label = label;
    }

    /** {@code vublk export}, polling 32 us at most, as it does unless told otherwise. */
    List<String> vublk(Path launcher, Path image, Path socket, int ioThreads) {
        List<String> command = new ArrayList<>(List.of(
                launcher.toString(),
                "export",
                this == NULL ? "null:1G" : image.toString(),
                "--socket",
                socket.toString(),
                "--queues",
                String.valueOf(QUEUES),
                "--iothreads",
                String.valueOf(ioThreads),
                "--locking",
                "off"));
        if (this == EXT4) {
            command.addAll(List.of("--cache", "none"));
        }
        return command;
    }

    /** {@code qemu-storage-daemon}: one IOThread, which polls 32 us at most too; native AIO with O_DIRECT is its fastest. */
    List<String> qemuStorageDaemon(Path image, Path socket) {
        String blockdev = this == NULL
                ? "driver=null-co,node-name=disk,size=1073741824,read-zeroes=off"
                : "driver=file,node-name=disk,filename=" + image + ",aio=native,cache.direct=on,locking=off";
        return List.of(
                "qemu-storage-daemon",
                "--object",
                "iothread,id=iothread0",
                "--blockdev",
                blockdev,
                "--export",
                "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=" + socket
                        + ",writable=on,num-queues=" + QUEUES + ",iothread=iothread0");
    }
}
