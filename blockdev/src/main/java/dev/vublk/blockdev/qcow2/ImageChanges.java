// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** Everything with which one channel changes an image. Runs on the channel's loop. */
final class ImageChanges implements AutoCloseable {
    private final RequestEpochs.Counter requests;
    private final ImageWriter writer;
    private final ImageEraser eraser;

    /**
     * The changes of one channel.
     *
     * @param backingBytes up to where the backing file has data; 0 without one
     * @param data where guest data is: the external data file, or {@code file}
     * @param reader the channel's reads
     */
    ImageChanges(
            WritableImage image,
            long backingBytes,
            MetadataFile file,
            MetadataFile data,
            ImageWriter.GuestReader reader) {
        EntryRules rules = new EntryRules(image.header, backingBytes);
        this.requests = image.epochs.newCounter();
        this.writer = new ImageWriter(image, rules, file, data, reader, requests);
        this.eraser = new ImageEraser(image, rules, file, data, writer, requests);
    }

    /** Counts the channel's requests, its reads too. */
    RequestEpochs.Counter requests() {
        return requests;
    }

    ImageWriter writer() {
        return writer;
    }

    ImageEraser eraser() {
        return eraser;
    }

    @Override
    public void close() {
        writer.close();
    }
}
