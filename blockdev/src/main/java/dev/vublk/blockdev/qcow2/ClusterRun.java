// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** Clusters of the file that follow each other. A mutable holder that its user owns and may use again. */
final class ClusterRun {
    long cluster;
    long count;
}
