#!/bin/sh
# Runs in the guest, once the root file system is as it should be: loads modules, checks that all disks are there, runs
# /run/rig/script and leaves its status in /run/rig/status. The marks tell the host which lines are the script's.

# shellcheck source=/dev/null
. /run/rig/config
export PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp MODULE_DIR="$MODULE_DIR"
for pair in $GUEST_ENV; do
  export "${pair?}"
done

finish() {
  echo "$1" >/run/rig/status
  echo @@END@@
  exit
}

mkdir -p /run/bin /run/a /run/b /run/c
cp /run/rig/load-module /run/bin/
cd /tmp || exit

echo @@BEGIN@@
if [ "$LOAD_VIRTIO_BLK" = 1 ]; then
  load-module virtio_blk
fi
for module in $MODULES; do
  load-module "$module" || finish 125
done
if [ "$LOAD_VIRTIO_BLK" = 1 ]; then
  count=$(find /sys/block -name 'vd*' | wc -l)
  if [ "$count" -lt "$DISK_COUNT" ]; then
    echo "only $count of $DISK_COUNT vhost-user disks are there; the kernel says:"
    busybox dmesg | tail -n 10
    finish 126
  fi
fi
if [ -n "$RINGS" ]; then
  (
    # shellcheck source=scripts/guest/tests/lib.sh
    . /run/rig/lib.sh
    for disk in /sys/block/vd*; do
      [ ! -e "$disk" ] || check_rings "$RINGS" "${disk##*/}"
    done
  ) || finish 1
fi
sh /run/rig/script </dev/null 2>&1
finish $?
