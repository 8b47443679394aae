#!/usr/bin/env bash
# From a fresh checkout on a fresh Debian machine to a guest that uses a disk served by vublk.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case ${1:-} in
  '') ;;
  -h | --help)
    cat <<'U'
usage: quickstart.sh

Installs what is missing (as root, where there is apt-get; else it says what), builds vublk, serves a disk image with it
and boots a User-Mode Linux guest that makes a file system on the disk, writes, reads back, compares and runs fio.
Everything but the build and the packages is temporary.

exit status: 0 all worked, 1 something did not (a line says what), 2 wrong arguments
U
    exit 0
    ;;
  *) echo "usage: quickstart.sh" >&2; exit 2 ;;
esac

step() {
  printf '\n== %s\n' "$*"
}

step "Set-up: JDK, Maven, User-Mode Linux, fio"
JAVA_HOME=$("$here/setup-build.sh")
export JAVA_HOME
"$here/guest/setup.sh" --uml
echo "JDK: $JAVA_HOME"

step "Building vublk"
(cd "$here/.." && mvn -B -q -DskipTests package)
echo "built"

directory=$(mktemp -d "${TMPDIR:-/tmp}/vublk-quickstart.XXXXXX")
vublk=''
# end_vublk SIGNAL: true when it has ended within 10 s. Its status stays for wait.
end_vublk() {
  local tries
  kill "-$1" "$vublk" 2>/dev/null || true
  for ((tries = 0; tries < 100; tries++)); do
    kill -0 "$vublk" 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}
clean_up() {
  [ -z "$vublk" ] || end_vublk TERM || end_vublk KILL || true
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

image=$directory/disk.img socket=$directory/disk.sock
step "Serving an image of 1 GiB: vublk export disk.img --socket disk.sock"
truncate -s 1G "$image"
"$here/vublk" export "$image" --socket "$socket" >"$directory/out" 2>"$directory/err" </dev/null &
vublk=$!

# vublk prints a line that starts with "ready" when its socket listens.
show_vublk() {
  sed 's/^/vublk: /' "$directory/out" "$directory/err" >&2
}
for ((tries = 0; ; tries++)); do
  grep -q '^ready' "$directory/out" && break
  if ! kill -0 "$vublk" 2>/dev/null; then
    status=0
    wait "$vublk" || status=$?
    vublk=''
    show_vublk
    echo "vublk ended with status $status before it was ready" >&2
    exit 1
  fi
  if [ $tries -ge 300 ]; then
    show_vublk
    echo "vublk was not ready within 30 s" >&2
    exit 1
  fi
  sleep 0.1
done
cat "$directory/out"

step "Booting a User-Mode Linux guest with that disk"
guest_status=0
# In the background, because bash waits for a foreground command before it acts on a signal.
"$here/guest/uml-run.sh" "$socket" "$here/guest/tests/tour.sh" &
guest=$!
trap 'kill "$guest" 2>/dev/null; wait "$guest"; exit 143' TERM INT HUP
wait "$guest" || guest_status=$?
trap 'exit 143' TERM INT HUP

step "Stopping vublk with SIGTERM"
vublk_status=0
if ! end_vublk TERM; then
  show_vublk
  echo "vublk did not end within 10 s of SIGTERM" >&2
  exit 1
fi
wait "$vublk" || vublk_status=$?
vublk=''
echo "vublk ended with status $vublk_status"

if [ $vublk_status -ne 0 ]; then
  show_vublk
  exit 1
fi
if [ $guest_status -ne 0 ]; then
  show_vublk
  echo "the guest ended with status $guest_status" >&2
  exit 1
fi
step "All worked"
