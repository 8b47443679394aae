# The same loads on two disks in turn, /dev/vda and /dev/vdb: for each a line
#   result ROUND LOAD DISK requests iops mean-us p50-us p99-us
# The share's file "loads" has the loads: BLOCKSIZE:DEPTH such as 4k:1, or "seed": 16 threads of 64 requests, mixed.
# environment: ROUNDS=3, RUNTIME=1 seconds a load, SIZE=256M of each disk. Destroys what is on both. Called by
# scripts/bench-guest.sh.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# fio's terse output, version 3: 6 and 47 are KiB moved, 8 and 49 IOPS, 16 and 57 mean completion latencies in us, 24 and 65 the
# medians, 30 and 71 the 99th percentiles ("99.000000%=123").
load() {
  case $3 in
    seed)
      set -- "$1" "$2" "$3" 4 --rw=randrw --bs=4k --iodepth=64 --numjobs=16
      ;;
    *)
      set -- "$1" "$2" "$3" "${3%%k:*}" --rw=randread --bs="${3%%:*}" --iodepth="${3##*:}"
      ;;
  esac
  round=$1 disk=$2 name=$3 kib=$4
  shift 4
  fio --name=load --filename="$disk" --size="${SIZE:-256M}" --runtime="${RUNTIME:-1}" --direct=1 --ioengine=libaio --thread \
    --group_reporting --time_based --output-format=terse --terse-version=3 "$@" >/tmp/fio.out 2>&1 || {
    tail -n 15 /tmp/fio.out
    fail "fio $name"
  }
  awk -F';' -v round="$round" -v disk="$disk" -v name="$name" -v kib="$kib" '
    function us(text) { sub(/.*=/, "", text); return text }
    function most(a, b) { return a > b ? a : b }
    $1 == 3 {
      iops = $8 + $49
      mean = iops ? ($8 * $16 + $49 * $57) / iops : 0
      printf "result %d %s %s %.0f %d %.1f %d %d\n", round, name, disk, ($6 + $47) / kib, iops, mean,
        most(us($24), us($65)), most(us($30), us($71))
    }
  ' /tmp/fio.out
  sleep 0.4 # The host looks now at the back end's processor time.
}

for disk in /dev/vda /dev/vdb; do
  load 0 "$disk" 4k:32 # Only that everything is compiled and every page has been touched.
done
round=1
while [ "$round" -le "${ROUNDS:-3}" ]; do
  # Nobody always comes first.
  if [ $((round % 2)) -eq 1 ]; then disks="/dev/vda /dev/vdb"; else disks="/dev/vdb /dev/vda"; fi
  for name in $(cat /run/share/loads); do
    for disk in $disks; do
      load "$round" "$disk" "$name"
    done
  done
  round=$((round + 1))
done
