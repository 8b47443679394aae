# For a back end that is killed and started again under load (QEMU only): fio writes and verifies all the time, and no
# request may fail or be lost. Makes the file "running" in the shared directory when the load is on.
# environment: RUNTIME=15 seconds of load. Destroys the first 128 MiB.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

fio --name=reconnect --filename="$DISK" --direct=1 --ioengine=libaio --rw=randrw --bsrange=4k-64k --iodepth=32 \
  --numjobs=2 --offset_increment=64M --size=64M --time_based --runtime="${RUNTIME:-15}" --verify=crc32c \
  --verify_fatal=1 --verify_backlog=64 --group_reporting --output-format=terse --terse-version=3 >/tmp/fio.out 2>&1 &
fio=$!
sleep 1
touch /run/share/running
wait $fio || {
  tail -n 15 /tmp/fio.out
  busybox dmesg | tail -n 10
  fail "fio (a request failed or wrong data was read)"
}
awk -F';' '{ printf "verified under reconnects: %d read and %d write IOPS, slowest write %.0f ms\n", $8, $49, $56 / 1000 }' \
  /tmp/fio.out
