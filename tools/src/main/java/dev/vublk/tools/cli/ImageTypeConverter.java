// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.ImageType;
import picocli.CommandLine.ITypeConverter;

/** {@code raw}, {@code qcow2}, {@code auto}. */
public final class ImageTypeConverter implements ITypeConverter<ImageType> {
    @Override
    public ImageType convert(String value) {
        return DiskDefaults.oneOf(ImageType.class, value);
    }
}
