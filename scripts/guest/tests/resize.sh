# For a disk that grows while the guest runs. Needs GUEST_SHARE: makes the file "before" there, and goes on when the disk is
# larger. Destroys the disk's first and last MiB.
# environment: WAIT=60 seconds for the new size
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

size=/sys/block/${DISK#/dev/}/size
before=$(cat "$size")
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=1
check "write at the start" dd if=/tmp/data of="$DISK" bs=1M oflag=direct conv=fsync
touch /run/share/before

tries=0
while [ "$(cat "$size")" = "$before" ]; do
  tries=$((tries + 1))
  [ $tries -le $((${WAIT:-60} * 10)) ] || fail "the disk has not grown within ${WAIT:-60} s"
  sleep 0.1
done
after=$(cat "$size")
[ "$after" -gt "$before" ] || fail "the disk has shrunk from $before to $after sectors"

check "write at the new end" dd if=/tmp/data of="$DISK" bs=1M seek=$((after / 2048 - 1)) oflag=direct conv=fsync
for at in 0 $((after / 2048 - 1)); do
  check "read at $at MiB" dd if="$DISK" of=/tmp/read bs=1M skip="$at" count=1 iflag=direct
  check "other data at $at MiB" cmp /tmp/data /tmp/read
done
say "grew from $before to $after sectors"
