#!/usr/bin/env bash
# Boots a QEMU guest on vhost-user-blk sockets, runs a script in it, and moves it to other QEMU processes meanwhile.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: migrate-run.sh SOCK_A SOCK_B SCRIPT [QEMU argument...]

Boots a QEMU guest with Debian's cloud kernel, emulated (TCG, no KVM), whose disk /dev/vda is the vhost-user-blk back end at
SOCK_A, and runs SCRIPT there. Moves it (live migration) to a second QEMU process whose disk is at SOCK_B, and with
GUEST_MOVES above 1 back to a new one at SOCK_A, and so on. Both sockets serve the same image.

The guest has no file system of the host (QEMU cannot migrate it), only an initramfs with busybox and fio. SCRIPT and the rig
talk over the console and a second serial port:
  SCRIPT prints     then the rig
  @@READY@@         begins to move the guest; when all of its memory has been copied once and what has changed since is
                    being copied, sends the line "midway". The move cannot end yet, but only while SCRIPT keeps the guest busy
  @@MIDWAY@@        lets the move end; when the guest runs in the new process, sends the line "moved"
  ...               and the same again for each further move

environment:
  GUEST_MEM=400M        memory
  GUEST_SMP=2           processors
  GUEST_LIMIT=180       seconds after which the guest is killed
  GUEST_MOVES=1         how often it is moved
  GUEST_ENV="A=1 B=2"   environment for SCRIPT
  GUEST_LOG=FILE        the guest's whole console goes here in the end
  GUEST_RINGS=          packed or split: the guest fails when its driver uses the other kind (QEMU: packed=on)
  GUEST_DISK_OPTIONS=   properties of the vhost-user-blk-pci device, e.g. num-queues=4
  GUEST_MACHINE=q35     QEMU's machine type with its properties
  GUEST_POSTCOPY=0      1: instead of letting the move end, the guest goes on in the new process at once, and its memory follows
                        (no faster than 512 KiB a second, but for what it wants at once)

exit status: that of SCRIPT, or 2 wrong arguments, 124 time limit, 125 the guest did not start or died,
             126 the disk is missing, 127 a move failed
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 3 ]; then
  usage >&2
  exit 2
fi

# shellcheck source=scripts/guest/rig.sh
. "$here/rig.sh"

memory=${GUEST_MEM:-400M} limit=${GUEST_LIMIT:-180} moves=${GUEST_MOVES:-1} postcopy=${GUEST_POSTCOPY:-0}
need_number GUEST_LIMIT "$limit"
need_number GUEST_MOVES "$moves"
need_number GUEST_POSTCOPY "$postcopy"
read_rings
# QEMU before 9.0 loses writes of an emulated processor while it migrates memory that is a multiple of 256 KiB ("physmem: Fix
# migration dirty bitmap coherency with TCG memory access"): it takes a short cut for that. So there is a little more of it.
memory_bytes=$(($(numfmt --from=iec "$memory") + 8192))
need_command qemu-system-x86_64 busybox cpio setsid fio numfmt
need_file "$VUBLK_GUEST_DIR/kernel/complete"
find_kernel
read_sockets "$1,$2"
script=$3
need_script "$script"
shift 3

start_rig

make_initramfs() {
  local root=$run/initramfs library
  mkdir -p "$root"/{bin,modules,dev,proc,sys,tmp,run/rig}
  cp "$(command -v busybox)" "$root/bin/busybox"
  install -m 755 "$here/migrate-init.sh" "$root/init"
  # fio with the libraries that it wants, at the places where it looks for them.
  for library in "$(command -v fio)" $(ldd "$(command -v fio)" | grep -o '/[^ ]*'); do
    mkdir -p "$root/$(dirname "$library")"
    cp -L "$library" "$root/$library"
  done
  copy_modules "$root/modules" virtio_pci virtio_blk
  cp "$script" "$root/run/rig/script"
  cp "$here/tests/lib.sh" "$root/run/rig/"
  {
    echo "BOOT_MODULES='$boot_modules'"
    echo "GUEST_ENV=$(quote "${GUEST_ENV:-}")"
    echo "RINGS=$rings"
  } >"$root/config"
  (cd "$root" && find . | cpio -o -H newc --quiet) >"$run/initrd"
  rm -rf "$root"
}

make_initramfs

# start_qemu NUMBER [QEMU argument...]: process NUMBER, on the socket of its turn; sets $guest.
start_qemu() {
  local number=$1
  shift
  : >"$run/console$number"
  spawn qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
    -machine "${GUEST_MACHINE:-q35},memory-backend=memory" -accel tcg,thread=multi -cpu max \
    -smp "${GUEST_SMP:-2}" -m "${memory_bytes}B" -object "memory-backend-memfd,id=memory,size=$memory_bytes,share=on" \
    -kernel "$kernel/boot/vmlinuz-$kernel_version" -initrd "$run/initrd" -append "console=ttyS0 quiet panic=-1" \
    -chardev "socket,id=disk0.socket,path=${sockets[number % 2]}" \
    -device "vhost-user-blk-pci,id=disk0,chardev=disk0.socket${GUEST_DISK_OPTIONS:+,$GUEST_DISK_OPTIONS}" \
    -serial "file:$run/console$number" \
    -chardev "socket,id=control,path=$run/control$number,server=on,wait=off" -serial chardev:control \
    -qmp "unix:$run/qmp$number,server=on,wait=off" "$@" </dev/null >"$run/qemu.log$number" 2>&1
  guest=$spawned
  disown "$guest" # bash would report it when it is killed
}

# Everything that the guest has printed, in whatever process.
console() {
  cat "$run"/console[0-9]* | tr -d '\r'
}

# Ends with the script's status, or another; shows what the guest has printed.
finish() {
  console | sed -n -e '/^@@BEGIN@@$/,/^@@STATUS/ p' | grep -v '^@@' || true
  cat "$run"/qemu.log* >&2
  [ -z "${GUEST_LOG:-}" ] || console >"$GUEST_LOG"
  if [ -e "$run/timeout" ]; then
    complain "time limit of $limit s reached; the console's last lines:"
    console | tail -n 15 >&2
    exit 124
  fi
  exit "$1"
}

# await COUNT LINE: waits until the guest has printed the line COUNT times, or has ended.
await() {
  while [ "$(console | grep -c "^$2" || true)" -lt "$1" ]; do
    if [ "$2" != @@STATUS ] && console | grep -q '^@@STATUS'; then
      complain "the script ended before it printed $2"
      finish "$(console | sed -n 's/^@@STATUS \([0-9]*\)@@.*/\1/p' | sed 's/^0$/127/')"
    fi
    if ! kill -0 "$guest" 2>/dev/null; then
      complain "the guest died; the console's last lines:"
      console | tail -n 15 >&2
      finish 125
    fi
    sleep 0.1
  done
}

# tell NUMBER LINE: sends a line to the second serial port.
tell() {
  # shellcheck disable=SC2016 # it is perl's
  perl -MIO::Socket::UNIX -e '
    my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n"; print $socket "$ARGV[1]\n"; close $socket;
  ' "$run/control$1" "$2"
}

# query NUMBER: the state of the migration as QEMU's source tells it.
query() {
  "$here/qmp.pl" "$run/qmp$1" '{"execute":"query-migrate"}'
}

fail_move() {
  complain "move $1: $2"
  finish 127
}

# move FROM TO COUNT
move() {
  local from=$1 to=$2 count=$3 number state
  start_qemu "$to" -incoming "unix:$run/migration$to"
  until [ -S "$run/migration$to" ]; do
    kill -0 "$guest" 2>/dev/null || fail_move "$count" "the new process ended"
    sleep 0.05
  done
  if [ "$postcopy" -ne 0 ]; then
    for number in "$from" "$to"; do
      "$here/qmp.pl" "$run/qmp$number" \
        '{"execute":"migrate-set-capabilities","arguments":{"capabilities":[{"capability":"postcopy-ram","state":true}]}}' \
        >/dev/null || fail_move "$count" "no postcopy"
    done
  fi
  # With so little downtime allowed (100 KiB can be copied in it) the move cannot end while the guest does anything.
  "$here/qmp.pl" "$run/qmp$from" \
    '{"execute":"migrate-set-parameters","arguments":{"downtime-limit":1,"max-bandwidth":104857600}}' \
    '{"execute":"migrate","arguments":{"uri":"unix:'"$run/migration$to"'"}}' >/dev/null || fail_move "$count" "refused"
  while :; do
    state=$(query "$from")
    case $state in
      *'"status": "failed"'* | *'"status": "completed"'*) fail_move "$count" "$state" ;;
      *'"dirty-sync-count": '[3-9]* | *'"dirty-sync-count": '[12][0-9]*) break ;;
    esac
    sleep 0.05
  done
  tell "$from" midway
  await "$count" @@MIDWAY@@
  if [ "$postcopy" -ne 0 ]; then
    # Slowly: QEMU (7.2) tells the back end of the last page in another thread than that which starts the disk, and takes the
    # answers to one for those to the other ("Received unexpected msg type") when it does both at once.
    "$here/qmp.pl" "$run/qmp$from" \
      '{"execute":"migrate-set-parameters","arguments":{"max-postcopy-bandwidth":524288}}' \
      '{"execute":"migrate-start-postcopy"}' >/dev/null || fail_move "$count" "postcopy refused"
  else
    "$here/qmp.pl" "$run/qmp$from" '{"execute":"migrate-set-parameters","arguments":{"downtime-limit":2000}}' >/dev/null
  fi
  while :; do
    state=$(query "$from")
    case $state in
      *'"status": "completed"'*) break ;;
      *'"status": "failed"'*) fail_move "$count" "$state" ;;
    esac
    sleep 0.05
  done
  "$here/qmp.pl" "$run/qmp$from" '{"execute":"quit"}' >/dev/null
  tell "$to" moved || fail_move "$count" "the new process ended"
}

start_qemu 0
for ((i = 1; i <= moves; i++)); do
  await "$i" @@READY@@
  move $((i - 1)) "$i" "$i"
done
await 1 @@STATUS
finish "$(console | sed -n 's/^@@STATUS \([0-9]*\)@@.*/\1/p')"
