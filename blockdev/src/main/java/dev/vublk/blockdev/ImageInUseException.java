// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/** An image cannot be opened because of somebody else's lock on it. */
public final class ImageInUseException extends BlockOpenException {
    private static final long serialVersionUID = 1L;

    private final String conflict;

    /**
     * @param conflict which image it is, who has it, and what that one does not permit
     * @param remedy what can be done about it
     */
    public ImageInUseException(String conflict, String remedy) {
        super(conflict + " (" + remedy + ")");
        this.conflict = conflict;
    }

    /** The same with what can be done about it where other means exist. */
    public ImageInUseException withRemedy(String remedy) {
        return new ImageInUseException(conflict, remedy);
    }
}
