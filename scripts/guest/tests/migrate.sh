# For a guest that is moved (migrate-run.sh) while fio writes and verifies: no request may fail, no byte may be lost, in the
# guest's memory as little as on the disk. What the device alone has written to memory in the middle of a move is compared
# afterwards, from memory: pages that the back end did not log would be old there. Destroys the first 160 MiB.
# environment: MOVES=1 as GUEST_MOVES
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# wait_for LINE: a line from the rig, on the second serial port.
wait_for() {
  read -r told <&3
  [ "$told" = "$1" ] || fail "told '$told' instead of '$1'"
}

# Without --invalidate=0 fio would empty the page cache of the disk, whose content is compared below.
load() {
  while [ ! -e /tmp/stop ]; do
    fio --name=load --filename="$DISK" --direct=1 --ioengine=libaio --rw=randwrite --bsrange=4k-64k --iodepth=32 --numjobs=2 \
      --offset_increment=32M --size=32M --io_size=8M --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_backlog=64 \
      --randrepeat=0 --invalidate=0 --group_reporting --minimal >/tmp/fio.out 2>&1 || {
      touch /tmp/load-failed
      return
    }
    echo >>/tmp/passes
  done
}

# Reads what lies on the disk from 64 MiB on into the page cache, by the device.
read_in() {
  echo 3 >/proc/sys/vm/drop_caches
  dd if="$DISK" of=/dev/null bs=1M skip=64 count=32 2>/dev/null
}

cached_sum() {
  dd if="$DISK" bs=1M skip=64 count=32 2>/dev/null | md5sum
}

stty -F /dev/ttyS1 -echo
exec 3</dev/ttyS1
# Held open, or the last reader's end would drop the page cache of the disk.
exec 4<"$DISK"
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=32
check "write" dd if=/tmp/data of="$DISK" bs=1M seek=64 oflag=direct conv=fsync
sum=$(md5sum </tmp/data)

load &
load=$!
# Memory that always changes keeps the move from ending before its time.
while [ ! -e /tmp/stop ]; do
  dd if=/dev/zero of=/tmp/churn bs=1M count=16 conv=notrunc 2>/dev/null
done &
while [ ! -e /tmp/load-failed ] && [ ! -e /tmp/passes ]; do
  sleep 0.1
done
move=1
while [ $move -le "${MOVES:-1}" ]; do
  echo @@READY@@
  wait_for midway
  read_in
  echo @@MIDWAY@@
  wait_for moved
  passes_before=$(wc -l </tmp/passes 2>/dev/null || echo 0)
  say "moved: $passes_before passes of fio so far"
  [ "$(cached_sum)" = "$sum" ] || fail "what the device wrote to memory during move $move was lost"
  read_in
  [ "$(cached_sum)" = "$sum" ] || fail "other data on the disk after move $move"
  # At least one whole pass of the load after the move.
  while [ ! -e /tmp/load-failed ] && [ "$(wc -l </tmp/passes)" -lt $((passes_before + 2)) ]; do
    sleep 0.1
  done
  move=$((move + 1))
done
touch /tmp/stop
wait $load
if [ -e /tmp/load-failed ]; then
  tail -n 15 /tmp/fio.out
  dmesg | tail -n 10
  fail "fio (a request failed or wrong data was read)"
fi
say "verified: $(wc -l </tmp/passes) passes of fio, ${MOVES:-1} moves"
