// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What lies behind the back ends that are compared, and how each is told to serve it: as best it can. */
enum ComparedDisk {
    NULL("null"),
    TMPFS("tmpfs"),
    EXT4("file, O_DIRECT"),
    EXT4_CACHED("file, page cache"),
    /** All clusters are allocated; each back end has an image of its own, with the same content. */
    QCOW2("qcow2, clusters of 64k, allocated, tmpfs"),
    QCOW2_EXT4("qcow2, clusters of 64k, allocated, O_DIRECT"),
    /** Every measurement has an empty image. */
    QCOW2_NEW("qcow2, clusters of 64k, first writes, tmpfs");

    private static final int QUEUES = 4;

    final String label;

    ComparedDisk(String label) {
        this.label = label;
    }

    boolean isQcow2() {
        return this == QCOW2 || this == QCOW2_EXT4 || this == QCOW2_NEW;
    }

    boolean isOnDisk() {
        return this == EXT4 || this == EXT4_CACHED || this == QCOW2_EXT4;
    }

    /** A raw image full of data, in memory or, for a disk, in that directory; for a null disk an empty file. */
    Path createImage(Path diskDirectory, int mib) throws IOException {
        Path image = Files.createTempFile(isOnDisk() ? diskDirectory : Path.of("/dev/shm"), "vublk-bench", ".img");
        if (this != NULL) {
            Machine.fill(image, mib);
        }
        return image;
    }

    /** The image of one back end. */
    Path image(Path image, String server) {
        return isQcow2() ? image.resolveSibling(image.getFileName() + "." + server) : image;
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
        if (isOnDisk() && this != EXT4_CACHED) {
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
        List<String> command = new ArrayList<>(List.of("qemu-storage-daemon", "--object", "iothread,id=iothread0"));
        addToDaemon(command, image, socket, "", uring);
        return command;
    }

    private void addToDaemon(List<String> command, Path image, Path socket, String suffix, boolean uring) {
        String node = "disk" + suffix;
        if (this == NULL) {
            command.addAll(List.of("--blockdev", "driver=null-co,node-name=disk,size=1073741824,read-zeroes=off"));
        } else {
            String how =
                    this == EXT4_CACHED ? ",aio=" + (uring ? "io_uring" : "threads") : ",aio=native,cache.direct=on";
            String file = (isQcow2() ? "file" + suffix : node) + ",filename=" + image + how;
            command.addAll(List.of("--blockdev", "driver=file,locking=off,node-name=" + file));
        }
        if (isQcow2()) {
            command.addAll(List.of("--blockdev", "driver=qcow2,node-name=" + node + ",file=file" + suffix));
        }
        command.addAll(List.of(
                "--export",
                "type=vhost-user-blk,id=export" + suffix + ",node-name=" + node + ",addr.type=unix,addr.path=" + socket
                        + ",writable=on,num-queues=" + QUEUES + ",iothread=iothread0"));
    }

    /** Either back end with several disks, on one IOThread. */
    List<String> command(boolean vublk, Path launcher, List<Path> images, List<Path> sockets) {
        List<String> command = new ArrayList<>();
        if (vublk) {
            command.addAll(List.of(launcher.toString(), "export", "--queues", String.valueOf(QUEUES)));
        } else {
            command.addAll(List.of("qemu-storage-daemon", "--object", "iothread,id=iothread0"));
        }
        for (int i = 0; i < images.size(); i++) {
            if (vublk) {
                command.addAll(List.of("--disk", "image=" + images.get(i) + ",socket=" + sockets.get(i)));
            } else {
                addToDaemon(command, images.get(i), sockets.get(i), String.valueOf(i), false);
            }
        }
        return command;
    }
}
