#!/usr/bin/env bash
# Lets QEMU's firmware boot from a vhost-user-blk socket: the cheapest test with a real front end and a real driver.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: seabios-boot.sh SOCK
       seabios-boot.sh --image FILE

--image writes an image of 1 MiB that boots: serve it with the back end to test. Then, with the back end's socket,
SeaBIOS loads the boot sector (boot.s), which reads 16 sectors, checks them, writes them elsewhere, reads them back and
compares. Sectors 32 to 47 of the image are then a copy of sectors 1 to 16.

environment:
  GUEST_LIMIT=30        seconds after which QEMU is killed
  GUEST_DISK_OPTIONS=   properties of the vhost-user-blk-pci device

exit status: 0 booted and compared, 1 it did not, 2 wrong arguments, 124 time limit, 125 QEMU did not start
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac

# shellcheck source=scripts/guest/rig.sh
. "$here/rig.sh"

if [ $# -eq 2 ] && [ "$1" = --image ]; then
  need_file "$VUBLK_GUEST_DIR/boot.bin"
  {
    cat "$VUBLK_GUEST_DIR/boot.bin"
    # shellcheck disable=SC2016 # it is perl's
    perl -e 'print chr($_) x 512 for 1 .. 16'
  } >"$2"
  truncate -s 1M "$2"
  exit 0
fi
if [ $# -ne 1 ]; then
  usage >&2
  exit 2
fi

limit=${GUEST_LIMIT:-30}
need_number GUEST_LIMIT "$limit"
need_command qemu-system-x86_64 setsid
read_sockets "$1"
start_rig

spawn qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
  -machine q35,memory-backend=memory -accel tcg -m 128M \
  -object memory-backend-memfd,id=memory,size=128M,share=on \
  -chardev "socket,id=disk,path=${sockets[0]}" \
  -device "vhost-user-blk-pci,chardev=disk,bootindex=1${GUEST_DISK_OPTIONS:+,$GUEST_DISK_OPTIONS}" \
  -device isa-debug-exit,iobase=0x501 -serial "file:$run/console" </dev/null >"$run/qemu.log" 2>&1
status=0
{ wait "$spawned" || status=$?; } 2>/dev/null # bash would report a killed job
cat "$run/qemu.log" >&2
tr -d '\r' <"$run/console"

# boot.s tells QEMU to end with 43 or 45; QEMU's own errors are 1.
case $status in
  43) ;;
  45) exit 1 ;;
  *)
    if [ -e "$run/timeout" ]; then
      complain "time limit of $limit s reached: the firmware found nothing to boot, or hangs"
      exit 124
    fi
    die "QEMU ended with status $status"
    ;;
esac
