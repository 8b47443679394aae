#!/usr/bin/env bash
# Cuts the power of a disk under a real file system, again and again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: power-cut.sh [option...]

A User-Mode Linux guest writes to a file system and tells what fsync has promised it, on a disk with a volatile write cache that
vublk's own file driver and queues serve (the disk is a model in the emulator's tests). At random moments an image is made of what
a power cut would leave: of each block any version since the last flush. A second guest mounts each image: every promise
must have been kept, and the file system must be clean. vublk must have been built with its tests (mvn package -DskipTests) and
the guest set up (scripts/guest/setup.sh).

  --fs NAME           ext4, xfs, or btrfs, for which the kernel of scripts/guest/zoned-kernel.sh is needed (default ext4)
  --cache MODE        as in vublk export (default writeback)
  --packed on|off     which rings the guests have (default on)
  --cuts N            in one guest's life, at most 16 (default 4)
  --rounds N          so many guests, each with another seed (default 1)
  --seed N            of the first round (default: the time)
  --forget-flushes B  true: the disk acknowledges flushes and keeps nothing; this must end in failure (default false)

exit status: 0 all promises kept, 1 not (lines before say what), 2 wrong arguments
U
}

fs=ext4 cache=writeback packed=on cuts=4 rounds=1 seed=$(date +%s%N) forget=false
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --fs | --cache | --packed | --cuts | --rounds | --seed | --forget-flushes)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case $1 in
        --fs) fs=$2 ;;
        --cache) cache=$2 ;;
        --packed) packed=$2 ;;
        --cuts) cuts=$2 ;;
        --rounds) rounds=$2 ;;
        --seed) seed=$2 ;;
        --forget-flushes) forget=$2 ;;
      esac
      shift 2
      ;;
    *) usage >&2; exit 2 ;;
  esac
done
case $cuts-$rounds-$seed in
  *[!0-9-]* | -* | *--* | *-) usage >&2; exit 2 ;;
esac
case $packed in
  on) rings=packed ;;
  off) rings=split ;;
  *) usage >&2; exit 2 ;;
esac
[ "$cuts" -ge 1 ] && [ "$cuts" -le 16 ] || { usage >&2; exit 2; }

# shellcheck source=scripts/guest/paths.sh
. "$here/guest/paths.sh"
if [ "$fs" = btrfs ]; then
  export GUEST_UML=$VUBLK_GUEST_DIR/uml-zoned/linux.uml GUEST_VIRTIO_BLK=0
  [ -x "$GUEST_UML" ] || { echo "no kernel with btrfs: scripts/guest/zoned-kernel.sh builds one" >&2; exit 1; }
fi
tests=$here/../emulator/target/test-classes
[ -d "$tests/dev/vublk/emulator/powercut" ] || { echo "$tests is missing: run mvn package -DskipTests" >&2; exit 1; }
java=$("$here/find-jdk.sh")/bin/java

directory='' server='' guest=''
clean_up() {
  local process
  for process in $guest $server; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  server='' guest=''
  [ -z "$directory" ] || rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

fail() {
  echo "FAILED: $*"
  sed 's/^/back end: /' "$directory/err"
  exit 1
}

# await_lines COUNT PATTERN: until the back end has printed that many such lines.
await_lines() {
  local tries=0
  until [ "$(grep -c "$2" "$directory/out" || true)" -ge "$1" ]; do
    kill -0 "$server" 2>/dev/null || fail "the back end ended"
    [ -z "$guest" ] || kill -0 "$guest" 2>/dev/null || fail "the guest ended: $(cat "$directory/guest.log")"
    tries=$((tries + 1))
    [ $tries -lt 1200 ] || fail "no '$2' within 120 s"
    sleep 0.1
  done
}

end_server() {
  kill "$server"
  wait "$server" 2>/dev/null || true
  server=''
}

# run_guest SOCKETS SCRIPT: in the background, so that signals are not kept waiting.
run_guest() {
  GUEST_SHARE=$directory/share GUEST_ENV="FS=$fs" GUEST_RINGS=$rings "$here/guest/uml-run.sh" "$1" "$here/guest/tests/$2.sh" \
    >"$directory/guest.log" 2>&1 &
  guest=$!
}

end_guest() {
  local status=0
  wait "$guest" || status=$?
  guest=''
  cat "$directory/guest.log"
  [ $status -eq 0 ] || fail "seed $1, $fs, $cache: $2"
}

round() {
  local i disks=() sockets=
  directory=$(mktemp -d "${TMPDIR:-/tmp}/vublk-power-cut.XXXXXX")
  mkdir "$directory/share"
  "$java" -ea -Xmx512m --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
    --add-exports java.base/jdk.internal.vm=ALL-UNNAMED -cp "$tests:$here/../tools/target/dist/lib/*" \
    dev.vublk.emulator.powercut.PowerCutServer --directory "$directory" --seed "$1" --cuts "$cuts" --cache "$cache" \
    --packed "$packed" --forget-flushes "$forget" </dev/null >"$directory/out" 2>"$directory/err" &
  server=$!
  await_lines 1 '^ready'
  run_guest "$directory/disk.sock" power-cut
  await_lines "$cuts" '^cut'
  end_guest "$1" "the guest failed"
  cat "$directory/out"
  end_server

  for ((i = 0; i < cuts; i++)); do
    disks+=(--disk "image=$directory/cut-$i.img,socket=$directory/cut-$i.sock")
    sockets+=${sockets:+,}$directory/cut-$i.sock
  done
  "$here/vublk" export "${disks[@]}" --packed "$packed" </dev/null >"$directory/out" 2>"$directory/err" &
  server=$!
  await_lines "$cuts" '^ready'
  run_guest "$sockets" power-cut-check
  end_guest "$1" "what the power cuts left is not what was promised"
  end_server
  rm -rf "$directory"
  directory=''
}

for ((n = 0; n < rounds; n++)); do
  round $((seed + n))
done
echo "verified: $rounds guests, $cuts power cuts each, $fs, seed $seed"
