// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;

/**
 * What a user chooses of the features that cost something, or mean something to few: there are front ends that take whatever is
 * offered.
 *
 * @param offers what is offered
 */
public record SessionOptions(Set<OptionalFeature> offers) {
    /** Nothing that a front end could take by mistake. */
    public static final SessionOptions DEFAULT = new SessionOptions(Set.of(OptionalFeature.POSTCOPY));

    public SessionOptions {
        offers = Set.copyOf(offers);
    }

    public boolean has(OptionalFeature feature) {
        return offers.contains(feature);
    }

    /** These, and more. */
    public SessionOptions with(OptionalFeature... more) {
        EnumSet<OptionalFeature> changed = copy();
        changed.addAll(Arrays.asList(more));
        return new SessionOptions(changed);
    }

    /** These, but for one. */
    public SessionOptions without(OptionalFeature feature) {
        EnumSet<OptionalFeature> changed = copy();
        changed.remove(feature);
        return new SessionOptions(changed);
    }

    private EnumSet<OptionalFeature> copy() {
        EnumSet<OptionalFeature> copy = EnumSet.noneOf(OptionalFeature.class);
        copy.addAll(offers);
        return copy;
    }
}
