#!/bin/busybox sh
# shellcheck shell=dash
# The init of a User-Mode Linux guest; uml-run.sh copies it to the run directory. The root file system is the host's,
# read-only (hostfs), so all programs of the host are there; what must be writable is a tmpfs.
b=/bin/busybox
run=$($b dirname "$0")
# shellcheck source=/dev/null
. "$run/config"

$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t tmpfs tmpfs /run
$b mkdir -p /run/rig /run/share /dev/shm
$b ln -s /proc/self/fd /dev/fd
$b ln -s fd/0 /dev/stdin
$b ln -s fd/1 /dev/stdout
$b ln -s fd/2 /dev/stderr
$b mount -t tmpfs tmpfs /dev/shm
# hostfs looks at the host's paths, so the directories may be below /tmp, which is hidden only then.
$b mount -t hostfs -o "$run" none /run/rig
if [ -n "$SHARE" ]; then
  $b mount -t hostfs -o "$SHARE" none /run/share
fi
$b mount -t tmpfs tmpfs /tmp
$b mount -t tmpfs tmpfs /var/tmp

/bin/sh /run/rig/go
$b sync
$b poweroff -f
