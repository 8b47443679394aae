# For a disk that is unplugged and plugged in again (QEMU only; scripts/guest/hotplug.sh does it). In the shared
# directory it makes the files "ready" (unplug now), "unplugged" (plug the same image in again) and "plugged".
# Destroys the first 4 MiB.
# environment: WAIT=60 seconds for each step, CYCLES=1 how often (the files of cycle 2 are "ready2" ...),
#              PLUGGED_RINGS=packed|split what the disk that was plugged in has, empty for any
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# wait_until TEXT COMMAND...
wait_until() {
  wait_text=$1
  shift
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -le $((${WAIT:-60} * 10)) ] || fail "$wait_text within ${WAIT:-60} s"
    sleep 0.1
  done
}

cycle=1
while [ $cycle -le "${CYCLES:-1}" ]; do
  suffix=
  [ $cycle -eq 1 ] || suffix=$cycle
  check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=4
  check "write before" dd if=/tmp/data of="$DISK" bs=1M oflag=direct conv=fsync
  touch "/run/share/ready$suffix"
  wait_until "the disk did not go" [ ! -e "$DISK" ]
  say "unplugged"
  touch "/run/share/unplugged$suffix"
  wait_until "the disk did not come back" [ -b "$DISK" ]
  [ -z "${PLUGGED_RINGS:-}" ] || check_rings "$PLUGGED_RINGS"
  check "read after" dd if="$DISK" of=/tmp/read bs=1M count=4 iflag=direct
  check "other data after" cmp /tmp/data /tmp/read
  say "plugged, same data"
  touch "/run/share/plugged$suffix"
  cycle=$((cycle + 1))
done
