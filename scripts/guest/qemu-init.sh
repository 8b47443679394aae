#!/bin/busybox sh
# shellcheck shell=dash
# The init of a QEMU guest, in its initramfs beside busybox and the modules in /modules. The host's files come by
# virtiofs, and the script runs in a chroot there, so all programs of the host are there; read-only but for a few
# directories that are a tmpfs.
b=/bin/busybox
# shellcheck source=/dev/null
. /config

$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
for module in $BOOT_MODULES; do
  $b insmod "/modules/$module.ko"
done
if ! $b mount -t virtiofs host /full; then
  echo "the host's files cannot be mounted"
  $b poweroff -f
fi
$b mount -o bind /full /root
$b mount -o remount,bind,ro /full /root
$b mount -o bind /proc /root/proc
$b mount -o bind /sys /root/sys
$b mount -o bind /dev /root/dev
for directory in /root/run /root/var/tmp /root/tmp; do
  $b mount -t tmpfs tmpfs "$directory"
done
$b mkdir -p /dev/shm /root/run/rig /root/run/share /root/run/kernel
$b mount -t tmpfs tmpfs /dev/shm
$b ln -s /proc/self/fd /dev/fd
$b ln -s fd/0 /dev/stdin
$b ln -s fd/1 /dev/stdout
$b ln -s fd/2 /dev/stderr
$b mount -o bind "/full$KERNEL" /root/run/kernel
$b mount -o bind "/full$RUN" /root/run/rig
if [ -n "$SHARE" ]; then
  $b mount -o bind "/full$SHARE" /root/run/share
fi

$b chroot /root /bin/sh /run/rig/go 2>&1
$b sync
$b poweroff -f
