#!/usr/bin/env bash
# Tests the rig itself, with qemu-storage-daemon as the back end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cases=(
  seabios
  uml-filesystem uml-fio-verify uml-three-disks uml-probe uml-read-only uml-write-cache uml-sector-size uml-tour
  qemu-filesystem qemu-fio-verify qemu-three-disks qemu-probe qemu-write-cache qemu-sector-size qemu-bench
  qemu-reboot qemu-reconnect-idle qemu-reconnect-fio qemu-hotplug
  sabotage-filesystem sabotage-fio-verify sabotage-three-disks sabotage-tour sabotage-seabios sabotage-reboot
  sabotage-reconnect-idle sabotage-hotplug
  wrong-read-only wrong-write-cache wrong-sector-size wrong-missing-disk wrong-dead-guest wrong-limit wrong-killed
)

usage() {
  cat <<U
usage: selftest.sh [CASE...]

Runs every guest test on disks served by qemu-storage-daemon, where it must pass (uml-*, qemu-*); on a disk whose bytes
another process changes meanwhile, where it must fail (sabotage-*); and where the disk is not what the test expects
(wrong-*). With CASE only those. About 6 minutes on two cores.

cases: ${cases[*]}
exit status: 0 all as it must be, 1 not, 2 wrong arguments
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
for name; do
  if [[ " ${cases[*]} " != *" $name "* ]]; then
    usage >&2
    exit 2
  fi
done
[ $# -eq 0 ] || cases=("$@")

base=$(mktemp -d "${TMPDIR:-/tmp}/vublk-selftest.XXXXXX")
background=()
stop_background() {
  [ ${#background[@]} -eq 0 ] || kill "${background[@]}" 2>/dev/null || true
  [ ${#background[@]} -eq 0 ] || wait "${background[@]}" 2>/dev/null || true
  background=()
}
trap 'stop_background; rm -rf "$base"' EXIT
trap 'exit 143' TERM INT HUP

# serve NAME [serve-qsd.sh option...]: serves $dir/NAME.img on $dir/NAME.sock; makes the image if need be.
serve() {
  local name=$1
  shift
  [ -e "$dir/$name.img" ] || truncate -s 1G "$dir/$name.img"
  mkfifo "$dir/$name.ready" 2>/dev/null || true
  "$here/serve-qsd.sh" "$dir/$name.img" --socket "$dir/$name.sock" "$@" >"$dir/$name.ready" 2>"$dir/$name.log" &
  backend=$!
  background+=("$backend")
  grep -q '^ready' <"$dir/$name.ready"
}

# Overwrites random sectors of the first 128 MiB of an image, a thousand a second.
sabotage() {
  # shellcheck disable=SC2016 # it is perl's
  perl -e 'open(my $image, "+<", $ARGV[0]) or die; while (1) { for (1 .. 10) { sysseek($image, 512 * int(rand(262144)), 0);
    syswrite($image, "sabotage" x 64) } select(undef, undef, undef, 0.01) }' "$1" &
  background+=("$!")
}

# run uml|qemu SOCKETS TEST: runs a guest test; its output is in $dir/out.
run() {
  GUEST_SHARE=$dir "$here/$1-run.sh" "$2" "$here/tests/$3.sh" >>"$dir/out" 2>&1
}

# expect STATUS COMMAND...: the command must end with that status; "failed" is a test's own failure, 1.
expect() {
  local wanted=$1 status=0
  shift
  "$@" || status=$?
  [ "$status" -eq "$wanted" ] || {
    echo "status $status instead of $wanted" >>"$dir/out"
    return 1
  }
}

wait_for_file() {
  local i
  for ((i = 0; i < 600; i++)); do
    [ -e "$1" ] && return
    sleep 0.1
  done
  return 1
}

# wait_for_write IMAGE: until a write has reached it from now on, five times in a row.
wait_for_write() {
  local i seen=0
  for ((seen = 0; seen < 5; seen++)); do
    touch -r "$1" "$dir/mark"
    for ((i = 0; i < 1200; i++)); do
      [ ! "$1" -nt "$dir/mark" ] || break
      sleep 0.05
    done
    [ "$1" -nt "$dir/mark" ] || return 1
  done
}

make_ext4() {
  truncate -s 64M "$dir/a.img"
  mkfs.ext4 -q -F "$dir/a.img"
}

simple() { # KIND TEST [serve option...]
  local kind=$1 test=$2
  shift 2
  serve a "$@"
  run "$kind" "$dir/a.sock" "$test"
}

sabotaged() { # KIND TEST
  serve a
  sabotage "$dir/a.img"
  expect 1 run "$1" "$dir/a.sock" "$2"
  grep '^FAILED' "$dir/out"
}

three_disks() { # KIND
  serve a
  serve b
  serve c
  run "$1" "$dir/a.sock,$dir/b.sock,$dir/c.sock" three-disks
}

case_seabios() {
  "$here/seabios-boot.sh" --image "$dir/a.img"
  serve a
  "$here/seabios-boot.sh" "$dir/a.sock"
  cmp -n 8192 -i 512:16384 "$dir/a.img" "$dir/a.img"
}

case_uml-filesystem() { simple uml filesystem; }
case_uml-fio-verify() { simple uml fio-verify; }
case_uml-three-disks() { three_disks uml; }
case_uml-probe() {
  simple uml probe
  grep '^sectors=2097152' "$dir/out"
  grep '^feature_names=.*BLK_SIZE.*VERSION_1' "$dir/out"
}
case_uml-read-only() {
  make_ext4
  simple uml read-only --read-only
}
case_uml-write-cache() { simple uml write-cache; }
case_uml-sector-size() { GUEST_ENV=BLOCK_SIZE=4096 simple uml sector-size --block-size 4096; }
case_uml-tour() { simple uml tour; }

case_qemu-filesystem() { simple qemu filesystem; }
case_qemu-fio-verify() { GUEST_DISK_OPTIONS=num-queues=4 simple qemu fio-verify --num-queues 4; }
case_qemu-three-disks() { three_disks qemu; }
case_qemu-probe() {
  GUEST_DISK_OPTIONS=num-queues=2 simple qemu probe --num-queues 2
  grep '^queues=2' "$dir/out"
  grep '^feature_names=.* MQ' "$dir/out"
}
case_qemu-write-cache() { GUEST_DISK_OPTIONS=config-wce=on simple qemu write-cache; }
case_qemu-sector-size() { GUEST_ENV=BLOCK_SIZE=4096 simple qemu sector-size --block-size 4096; }
case_qemu-bench() { GUEST_ENV="RUNTIME=1" simple qemu bench; }
case_qemu-reboot() { GUEST_REBOOT=1 simple qemu reboot; }

reconnect_idle() { # COMMAND... between stop and start
  serve a
  GUEST_LIMIT=60 run qemu "$dir/a.sock" reconnect-idle &
  local guest=$!
  wait_for_file "$dir/before"
  kill -TERM "$backend"
  wait "$backend" || true
  "$@"
  serve a
  touch "$dir/go"
  wait "$guest"
}
case_qemu-reconnect-idle() { reconnect_idle true; }

case_qemu-reconnect-fio() {
  serve a
  GUEST_ENV=RUNTIME=12 run qemu "$dir/a.sock" reconnect-fio &
  local guest=$! i
  wait_for_file "$dir/running"
  for ((i = 0; i < 3; i++)); do
    wait_for_write "$dir/a.img"
    # SIGKILL for the daemon, not for the script around it.
    pkill -KILL -P "$backend"
    wait "$backend" 2>/dev/null || true
    serve a
  done
  wait "$guest"
}

hotplug() { # COMMAND... between unplug and plug
  serve a
  GUEST_LIMIT=60 GUEST_QMP=$dir/qmp run qemu "$dir/a.sock" hotplug &
  local guest=$!
  wait_for_file "$dir/ready"
  "$here/hotplug.sh" unplug "$dir/qmp" disk0
  wait_for_file "$dir/unplugged"
  "$@"
  "$here/hotplug.sh" plug "$dir/qmp" disk0 "$dir/a.sock" port0
  wait "$guest"
}
case_qemu-hotplug() { hotplug true; }

overwrite_image() { dd if=/dev/zero of="$dir/a.img" bs=1M seek=1 count=2 conv=notrunc status=none; }

case_sabotage-filesystem() { sabotaged uml filesystem; }
case_sabotage-fio-verify() { sabotaged uml fio-verify; }
case_sabotage-tour() { sabotaged uml tour; }
case_sabotage-three-disks() {
  serve a
  serve b
  serve c
  sabotage "$dir/c.img"
  expect 1 run uml "$dir/a.sock,$dir/b.sock,$dir/c.sock" three-disks
  grep '^FAILED' "$dir/out"
}
case_sabotage-seabios() {
  "$here/seabios-boot.sh" --image "$dir/a.img"
  printf x | dd of="$dir/a.img" bs=1 seek=5000 conv=notrunc status=none
  serve a
  expect 1 "$here/seabios-boot.sh" "$dir/a.sock"
}
case_sabotage-reboot() {
  GUEST_REBOOT=1 sabotaged qemu reboot
}
case_sabotage-reconnect-idle() {
  expect 1 reconnect_idle overwrite_image
  grep '^FAILED: other data after' "$dir/out"
}
case_sabotage-hotplug() {
  expect 1 hotplug overwrite_image
  grep '^FAILED: other data after' "$dir/out"
}

case_wrong-read-only() {
  make_ext4
  serve a
  expect 1 run uml "$dir/a.sock" read-only
  grep '^FAILED: /dev/vda is not read-only' "$dir/out"
}
case_wrong-write-cache() {
  serve a
  GUEST_DISK_OPTIONS=config-wce=off expect 1 run qemu "$dir/a.sock" write-cache
  grep '^FAILED: VIRTIO_BLK_F_CONFIG_WCE' "$dir/out"
}
case_wrong-sector-size() {
  serve a
  GUEST_ENV=BLOCK_SIZE=4096 expect 1 run uml "$dir/a.sock" sector-size
  grep '^FAILED: the logical block size is 512' "$dir/out"
}
# A socket that nobody answers properly: the guest comes up without the disk.
case_wrong-missing-disk() {
  serve a
  perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die;
    while (1) { close($s->accept) }' "$dir/b.sock" &
  background+=("$!")
  wait_for_file "$dir/b.sock"
  expect 126 run uml "$dir/a.sock,$dir/b.sock" probe
}
case_wrong-dead-guest() {
  serve a
  # shellcheck disable=SC2016
  echo 'echo c >/proc/sysrq-trigger; sleep 60' >"$dir/die.sh"
  GUEST_LIMIT=60 expect 125 "$here/uml-run.sh" "$dir/a.sock" "$dir/die.sh" >>"$dir/out" 2>&1
  GUEST_LIMIT=60 expect 125 "$here/qemu-run.sh" "$dir/a.sock" "$dir/die.sh" >>"$dir/out" 2>&1
}

# left_behind: processes and directories of guests that used $dir.
left_behind() {
  ! pgrep -f "$dir/guest-tmp" >>"$dir/out" && [ -z "$(ls "$dir/guest-tmp")" ]
}
case_wrong-limit() {
  serve a
  mkdir "$dir/guest-tmp"
  echo 'echo started; sleep 100' >"$dir/sleep.sh"
  for kind in uml qemu; do
    TMPDIR=$dir/guest-tmp GUEST_LIMIT=9 expect 124 "$here/$kind-run.sh" "$dir/a.sock" "$dir/sleep.sh" >>"$dir/out" 2>&1
    left_behind
  done
}
# Killed by SIGTERM and by SIGKILL, nothing must be left.
case_wrong-killed() {
  local kind signal guest i
  serve a
  mkdir "$dir/guest-tmp"
  echo 'touch /run/share/started; sleep 100' >"$dir/sleep.sh"
  for kind in uml qemu; do
    for signal in TERM KILL; do
      rm -f "$dir/started"
      TMPDIR=$dir/guest-tmp GUEST_SHARE=$dir "$here/$kind-run.sh" "$dir/a.sock" "$dir/sleep.sh" >>"$dir/out" 2>&1 &
      guest=$!
      wait_for_file "$dir/started"
      kill -$signal "$guest"
      i=0
      wait "$guest" 2>/dev/null || i=$?
      [ "$signal" = KILL ] || [ $i -eq 143 ]
      # After SIGKILL the reaper is on its own, which takes a moment.
      for ((i = 0; i < 30; i++)); do
        left_behind && break
        sleep 0.1
      done
      left_behind
    done
  done
}

failed=()
for name in "${cases[@]}"; do
  dir=$base/$name
  mkdir "$dir"
  started=${EPOCHREALTIME/./}
  # errexit has no effect below an "if" or "||", hence the subshell.
  set +e
  (
    set -e
    background=()
    trap stop_background EXIT
    "case_$name"
  ) >"$dir/case.out" 2>&1
  status=$?
  set -e
  milliseconds=$(((${EPOCHREALTIME/./} - started) / 1000))
  if [ $status -eq 0 ]; then
    printf 'ok      %-26s %3d.%d s  %s\n' "$name" $((milliseconds / 1000)) $((milliseconds % 1000 / 100)) \
      "$(grep -h '^FAILED' "$dir/out" 2>/dev/null | head -n 1)"
  else
    printf 'FAILED  %-26s %3d.%d s\n' "$name" $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
    tail -n 20 "$dir"/case.out "$dir"/*.log "$dir"/out 2>/dev/null | sed 's/^/    /'
    failed+=("$name")
  fi
  rm -rf "$dir"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "${#failed[@]} of ${#cases[@]} cases failed: ${failed[*]}"
  exit 1
fi
echo "all ${#cases[@]} cases are as they must be"
