#!/usr/bin/env bash
# Boots a User-Mode Linux guest on vhost-user-blk sockets and runs a script in it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: uml-run.sh SOCK[,SOCK2...]|none SCRIPT [kernel argument...]

Boots a User-Mode Linux guest (a real kernel in user space, no KVM) whose disks /dev/vda, /dev/vdb ... are the
vhost-user-blk back ends listening on the sockets, runs SCRIPT there with sh and prints what it prints. The guest's
root file system is this machine's, read-only; /tmp, /var/tmp and /run are writable and its own.
One queue per disk; the guest does not reconnect when the back end goes away.

environment:
  GUEST_MEM=512M        memory
  GUEST_LIMIT=120       seconds after which the guest is killed
  GUEST_SHARE=DIR       directory seen by the guest at /run/share, read-write
  GUEST_ENV="A=1 B=2"   environment for SCRIPT
  GUEST_LOG=FILE        the guest's whole console goes here in the end
  GUEST_RINGS=          packed or split: the guest fails when its driver uses the other kind (it takes packed ones when offered)
  GUEST_MODULES="a b"   kernel modules to load first
  GUEST_UML=linux.uml   the kernel; one with everything built in needs GUEST_VIRTIO_BLK=0
  GUEST_VIRTIO_BLK=1    0: leave loading virtio_blk to SCRIPT

exit status: that of SCRIPT, or 2 wrong arguments, 124 time limit, 125 the guest did not start or died,
             126 a disk is missing
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
if [ $# -lt 2 ]; then
  usage >&2
  exit 2
fi

# shellcheck source=scripts/guest/rig.sh
. "$here/rig.sh"

memory=${GUEST_MEM:-512M} limit=${GUEST_LIMIT:-120}
need_number GUEST_LIMIT "$limit"
read_rings
uml=${GUEST_UML:-linux.uml}
need_command "$uml" busybox setsid
read_sockets "$1"
script=$2
need_script "$script"
shift 2

# UML's memory is a file, which the back end maps too. The file system must have the room (Docker's /dev/shm has 64 MB)
# and must allow to execute, or UML refuses it.
memory_directory() {
  local directory need
  need=$(numfmt --from=iec "$memory")
  for directory in /dev/shm "${TMPDIR:-/tmp}" /var/tmp; do
    if [ -w "$directory" ] &&
      [ "$(df --output=avail -B1 "$directory" | tail -n 1)" -ge "$need" ] &&
      ! findmnt -n -o OPTIONS -T "$directory" | grep -qw noexec; then
      printf '%s\n' "$directory"
      return
    fi
  done
  die "no directory with room for the guest's $memory of memory (tried /dev/shm, ${TMPDIR:-/tmp}, /var/tmp)"
}

memory_file_directory=$(memory_directory)
preload=
if uml_needs_pad; then
  preload=$VUBLK_GUEST_DIR/uml-xsave-pad.so
  need_file "$preload"
fi

start_rig
put_script "$script"
install -m 755 "$here/uml-init.sh" "$run/init"
{
  echo "MODULE_DIR=$(quote "$(echo /usr/lib/uml/modules/*)")"
  echo "SHARE=$(quote "${GUEST_SHARE:+$(realpath "$GUEST_SHARE")}")"
} >>"$run/config"

disks=()
for socket in "${sockets[@]}"; do
  disks+=("virtio_uml.device=$socket:2") # 2 is the virtio device id of a block device
done

# uml_dir: else UML leaves a directory in ~/.uml when it is killed.
spawn env LD_PRELOAD="$preload" TMPDIR="$memory_file_directory" "$uml" \
  mem="$memory" uml_dir="$run/uml/" root=/dev/root rootfstype=hostfs rootflags=/ ro init="$run/init" "${disks[@]}" \
  con=null con0=null,fd:1 ssl=null quiet panic=-1 "$@" </dev/null >"$run/console" 2>&1
guest=$spawned
follow_console
wait_for_guest
