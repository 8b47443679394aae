// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What lies behind the back ends that are compared, and how each is told to serve it: as best it can. */
enum ComparedDisk {
    NULL("null"),
    TMPFS("tmpfs"),
    EXT4("file, O_DIRECT"),
    EXT4_CACHED("file, page cache");

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

    /**
     * {@code qemu-storage-daemon}: one IOThread, which polls 32 us at most too. Native AIO with O_DIRECT is its fastest; for the page
     * cache, which knows no native AIO, it has two others.
     *
     * @param uring for the page cache: whether that is io_uring instead of threads
     */
    List<String> qemuStorageDaemon(Path image, Path socket, boolean uring) {
        String blockdev = switch (this) {
            case NULL -> "driver=null-co,node-name=disk,size=1073741824,read-zeroes=off";
            case TMPFS, EXT4 -> file(image) + ",aio=native,cache.direct=on";
            case EXT4_CACHED -> file(image) + (uring ? ",aio=io_uring" : ",aio=threads");
        };
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

    private static String file(Path image) {
        return "driver=file,node-name=disk,filename=" + image + ",locking=off";
    }

    /** Whether its file is on a disk. */
    boolean isOnDisk() {
        return this == EXT4 || this == EXT4_CACHED;
    }
}
