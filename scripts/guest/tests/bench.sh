# A short benchmark: one line for each load with IOPS, bandwidth and latencies. In these guests the guest itself is the
# limit (emulation, slow system calls), so compare only with another back end in the same guest.
# environment: RUNTIME=3 seconds a load, SIZE=256M of the disk, LOADS="name ..." of those below. Destroys what is there.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# fio's terse output, version 3: 8 and 49 are the read and write IOPS, 7 and 48 KiB/s, 16 and 57 the mean completion
# latencies in us, 30 and 71 the 99th percentiles ("99.000000%=123").
load() {
  load_name=$1
  shift
  case " ${LOADS:-$load_name} " in
    *" $load_name "*) ;;
    *) return 0 ;;
  esac
  fio --name="$load_name" --filename="$DISK" --size="${SIZE:-256M}" --direct=1 --time_based --runtime="${RUNTIME:-3}" \
    --group_reporting --output-format=terse --terse-version=3 "$@" >/tmp/fio.out 2>&1 || {
    tail -n 15 /tmp/fio.out
    fail "fio $load_name"
  }
  awk -F';' -v name="$load_name" '
    function side(text, iops, kib, mean, p99) {
      if (iops == 0) return ""
      sub(/.*=/, "", p99)
      return sprintf("  %s %7d IOPS %8.1f MiB/s, mean %7.0f us, p99 %7d us", text, iops, kib / 1024, mean, p99)
    }
    { printf "%-16s%s%s\n", name, side("read", $8, $7, $16, $30), side("write", $49, $48, $57, $71) }
  ' /tmp/fio.out
}

load randread-4k-d1 --rw=randread --bs=4k --ioengine=libaio --iodepth=1
load randread-4k-d32 --rw=randread --bs=4k --ioengine=libaio --iodepth=32
load randwrite-4k-d32 --rw=randwrite --bs=4k --ioengine=libaio --iodepth=32
load randrw-4k-16x64 --rw=randrw --bs=4k --ioengine=libaio --iodepth=64 --numjobs=16
load batched-4k-d64 --rw=randread --bs=4k --ioengine=io_uring --iodepth=64 --iodepth_batch_submit=32 \
  --iodepth_batch_complete_min=16
load read-128k-d16 --rw=read --bs=128k --ioengine=libaio --iodepth=16
