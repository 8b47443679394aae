# Three disks at once: each keeps its own data while the others work, are unbound and bound again, and while the
# driver module is unloaded. Destroys what is on /dev/vda, vdb and vdc.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

driver=/sys/bus/virtio/drivers/virtio_blk
disks="vda vdb vdc"

# The disk appears a moment after the driver is bound.
wait_for_disks() {
  for disk in $disks; do
    tries=0
    until [ -b "/dev/$disk" ]; do
      tries=$((tries + 1))
      [ $tries -lt 50 ] || fail "/dev/$disk did not come back"
      sleep 0.1
    done
  done
}

compare() {
  for disk in $disks; do
    check "read $disk" dd if="/dev/$disk" of=/tmp/read bs=1M count=8 iflag=direct
    check "$disk has other data $1" cmp "/tmp/$disk" /tmp/read
  done
}

wait_for_disks
pids=
for disk in $disks; do
  dd if=/dev/urandom of="/tmp/$disk" bs=1M count=8 2>/dev/null
  (check "write $disk" dd if="/tmp/$disk" of="/dev/$disk" bs=1M oflag=direct conv=fsync) &
  pids="$pids $!"
done
for pid in $pids; do
  wait "$pid" || exit 1
done
compare "after writing all at once"
say "three disks: written at once, compared"

# vda works behind the first 16 MiB while vdb comes and goes.
fio --name=background --filename=/dev/vda --offset=16M --size=16M --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
  --iodepth=8 --verify=crc32c --verify_fatal=1 --minimal >/tmp/background.out 2>&1 &
background=$!
device=$(basename "$(readlink -f /sys/block/vdb/device)")
for i in 1 2 3 4 5; do
  echo "$device" >$driver/unbind || fail "cannot unbind $device"
  [ ! -b /dev/vdb ] || fail "/dev/vdb is still there after unbind $i"
  echo "$device" >$driver/bind || fail "cannot bind $device (time $i)"
  wait_for_disks
done
wait $background || {
  tail -n 5 /tmp/background.out
  fail "fio on vda failed while vdb was unbound and bound"
}
compare "after vdb was unbound and bound 5 times"
say "vdb unbound and bound 5 times while vda worked"

for i in 1 2; do
  check "rmmod virtio_blk" busybox rmmod virtio_blk
  [ ! -b /dev/vda ] || fail "/dev/vda is still there without its driver"
  check "load virtio_blk again" load-module virtio_blk
  wait_for_disks
done
compare "after the module was loaded again"
say "module unloaded and loaded twice"
