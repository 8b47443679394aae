#!/usr/bin/env bash
# Kills vublk again and again under a guest that writes and verifies.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: soak.sh [option...] [-- vublk option...]

Boots a QEMU guest whose disk vublk serves, lets fio write and verify on it, and meanwhile kills vublk with SIGKILL at
random moments and starts it again. The guest must see pauses, no error, and no byte that it did not write; its kernel
must not complain. (vublk is killed only once the guest uses it again: QEMU before 9.1 never tries again after a
back end that died during the first messages, "vhost-user: fix lost reconnect".) vublk must have been built (scripts/quickstart.sh or mvn package) and the guest set up
(scripts/guest/setup.sh). What follows -- is given to vublk export, for example --cache none --iothreads 2.

  --kills N         how often to kill (default 50)
  --pause-ms MIN-MAX  how long vublk is left alone after the guest has written through it (default 0-2000)
  --seed N          of the pauses (default: the time)
  --disk-options X  properties of the guest's disk (default num-queues=2)
  --packed          the guest's rings are packed ones

exit status: 0 all verified, 1 not (lines before say what), 2 wrong arguments
U
}

kills=50 pause=0-2000 seed=$(date +%s) disk_options=num-queues=2 packed=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --kills | --pause-ms | --seed | --disk-options)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case $1 in
        --kills) kills=$2 ;;
        --pause-ms) pause=$2 ;;
        --seed) seed=$2 ;;
        --disk-options) disk_options=$2 ;;
      esac
      shift 2
      ;;
    --packed) packed=,packed=on; shift ;;
    --) shift; break ;;
    *) usage >&2; exit 2 ;;
  esac
done
case $kills-$pause-$seed in
  *[!0-9-]* | -* | *--* | *-) usage >&2; exit 2 ;;
esac
pause_min=${pause%-*} pause_max=${pause#*-}

directory=$(mktemp -d "${TMPDIR:-/tmp}/vublk-soak.XXXXXX")
image=$directory/disk.img socket=$directory/disk.sock share=$directory/share
vublk='' guest=''
clean_up() {
  [ -z "$guest" ] || kill "$guest" 2>/dev/null || true
  [ -z "$guest" ] || wait "$guest" 2>/dev/null || true
  [ -z "$vublk" ] || kill -KILL "$vublk" 2>/dev/null || true
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

fail() {
  echo "FAILED: $*" >&2
  sed 's/^/vublk: /' "$directory/err" >&2
  # QEMU has six lines to say about each lost connection.
  tail -n 20 "$directory/qemu.log" >&2
  exit 1
}

# Starts vublk and waits until its socket listens. I/O of a killed process may hold the image's lock for a moment.
start_vublk() {
  local attempt i
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    "$here/vublk" export "$image" --socket "$socket" "$@" >"$directory/out" 2>>"$directory/err" </dev/null &
    vublk=$!
    for ((i = 0; i < 600; i++)); do
      if grep -q '^ready' "$directory/out"; then
        return
      fi
      kill -0 "$vublk" 2>/dev/null || break
      sleep 0.05
    done
    kill -0 "$vublk" 2>/dev/null && break
    grep -q 'image is in use' "$directory/err" || break
    echo "attempt $attempt: the image is still in use"
    sleep 0.1
  done
  fail "vublk does not start"
}

# Waits until the guest has written to the image, for at most two minutes.
await_write() {
  local before i
  before=$(stat -c %y "$image")
  for ((i = 0; i < 2400; i++)); do
    [ "$(stat -c %y "$image")" = "$before" ] || return 0
    guest_runs || return 0
    sleep 0.05
  done
  fail "the guest has written nothing for two minutes: it hangs"
}

guest_runs() {
  kill -0 "$guest" 2>/dev/null
}

mkdir "$share"
truncate -s 1G "$image"
: >"$directory/err"
: >"$directory/qemu.log"
RANDOM=$((seed % 32768))
start_vublk "$@"
# Each run of fio and each kill costs seconds on a slow machine; the guest's own limit is only there to end it at all.
GUEST_SHARE=$share GUEST_LIMIT=$((300 + kills * 20)) GUEST_DISK_OPTIONS=$disk_options$packed GUEST_ENV="RUNTIME=10 UNTIL=enough" \
  GUEST_LOG=$directory/console "$here/guest/qemu-run.sh" "$socket" "$here/guest/tests/reconnect-fio.sh" 2>"$directory/qemu.log" &
guest=$!
until [ -e "$share/running" ]; do
  guest_runs || fail "the guest ended before its load began"
  sleep 0.1
done
echo "seed $seed: killing vublk $kills times, ${pause_min} to ${pause_max} ms after the guest wrote through it"

begin=$SECONDS
for ((kill = 1; kill <= kills; kill++)); do
  await_write
  sleep "$(awk -v ms=$((pause_min + (RANDOM * 32768 + RANDOM) % (pause_max - pause_min + 1))) 'BEGIN { print ms / 1000 }')"
  guest_runs || break
  kill -KILL "$vublk" 2>/dev/null || fail "vublk ended by itself before kill $kill"
  wait "$vublk" 2>/dev/null || true
  start_vublk "$@"
  [ $((kill % 10)) -ne 0 ] || echo "killed $kill times in $((SECONDS - begin)) s"
done
! guest_runs || await_write
touch "$share/enough"
status=0
wait "$guest" || status=$?
guest=''
[ $status -eq 0 ] || fail "the guest ended with status $status after $((kill - 1)) kills"
kill -TERM "$vublk"
wait "$vublk" || fail "vublk did not end in order"
vublk=''
if grep -v -e 'WARN .*took over' "$directory/err" | grep -E 'ERROR|Exception|broken' >&2; then
  fail "vublk's log has errors"
fi
echo "verified: $kills kills in $((SECONDS - begin)) s, nothing lost, doubled or torn (seed $seed)"
