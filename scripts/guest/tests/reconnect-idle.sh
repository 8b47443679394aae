# For a back end that is stopped and started again while the guest is idle (QEMU only). Needs GUEST_SHARE: makes the
# file "before" there when the guest is idle and goes on when the file "go" is there. Destroys the first 8 MiB.
# environment: WAIT=60 seconds for "go"
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=8
check "write before" dd if=/tmp/data of="$DISK" bs=1M oflag=direct conv=fsync
check "read before" dd if="$DISK" of=/tmp/read bs=1M count=8 iflag=direct
check "other data before" cmp /tmp/data /tmp/read
say "read before"
touch /run/share/before

tries=0
until [ -e /run/share/go ]; do
  tries=$((tries + 1))
  [ $tries -le $((${WAIT:-60} * 10)) ] || fail "no file \"go\" in the shared directory within ${WAIT:-60} s"
  sleep 0.1
done

check "read after" dd if="$DISK" of=/tmp/read bs=1M count=8 iflag=direct
check "other data after" cmp /tmp/data /tmp/read
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=8
check "write after" dd if=/tmp/data of="$DISK" bs=1M oflag=direct conv=fsync
check "read what was written after" dd if="$DISK" of=/tmp/read bs=1M count=8 iflag=direct
check "other data than written after" cmp /tmp/data /tmp/read
say "read and written after"
