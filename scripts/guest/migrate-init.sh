#!/bin/busybox sh
# shellcheck shell=dash
# The init of a guest that migrates, in its initramfs beside busybox, fio and the modules in /modules.
# shellcheck source=/dev/null
. /config

/bin/busybox --install -s /bin
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in $BOOT_MODULES; do
  insmod "/modules/$module.ko"
done
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
for pair in $GUEST_ENV; do
  export "${pair?}"
done

echo @@BEGIN@@
status=126
if [ -n "$RINGS" ] && [ -b /dev/vda ] && ! (
  # shellcheck source=scripts/guest/tests/lib.sh
  . /run/rig/lib.sh
  check_rings "$RINGS"
); then
  status=1
elif [ -b /dev/vda ]; then
  sh /run/rig/script </dev/null 2>&1
  status=$?
else
  echo "the disk is missing; the kernel says:"
  dmesg | tail -n 10
fi
echo "@@STATUS $status@@"
poweroff -f
