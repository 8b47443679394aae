# For a back end that is killed and started again under load (QEMU only): fio writes and verifies all the time, and no
# request may fail or be lost. Makes the file "running" in the shared directory when the load is on.
# environment: RUNTIME=15 seconds of load, again and again until the file named by UNTIL is in the shared directory
#              (once without UNTIL). Destroys the first 128 MiB.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

run_fio() {
  fio --name=reconnect --filename="$DISK" --direct=1 --ioengine=libaio --rw=randrw --bsrange=4k-64k --iodepth=32 \
    --numjobs=2 --offset_increment=64M --size=64M --time_based --runtime="${RUNTIME:-15}" --verify=crc32c \
    --verify_fatal=1 --verify_backlog=64 --group_reporting --output-format=terse --terse-version=3 >/tmp/fio.out 2>&1
}

check_run() {
  [ "$1" -eq 0 ] || {
    tail -n 15 /tmp/fio.out
    busybox dmesg | tail -n 10
    fail "fio (a request failed or wrong data was read)"
  }
  awk -F';' 'NF > 50 { printf "verified under reconnects: %d read and %d write IOPS, slowest write %.0f ms\n", $8, $49, $56 / 1000 }' \
    /tmp/fio.out
  # What fio does not see: the kernel's own retries and complaints.
  if busybox dmesg | grep -E 'I/O error|timed out|blocked for more|virtio_blk.*(reset|fail)' >/tmp/complaints; then
    cat /tmp/complaints
    fail "the kernel complains"
  fi
}

run_fio &
fio=$!
# The load is on when the disk has got writes; what comes before is fio making its plans.
until [ "$(awk '{ print $5 }' "/sys/block/${DISK##*/}/stat")" -gt 0 ]; do
  kill -0 $fio 2>/dev/null || break
  sleep 0.1
done
touch /run/share/running
status=0
wait $fio || status=$?
check_run $status
while [ -n "${UNTIL:-}" ] && [ ! -e "/run/share/$UNTIL" ]; do
  status=0
  run_fio || status=$?
  check_run $status
done
