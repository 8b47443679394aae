#!/usr/bin/env bash
# Boots a QEMU guest (emulated, no KVM) on vhost-user-blk sockets and runs a script in it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: qemu-run.sh SOCK[,SOCK2...]|none SCRIPT [QEMU argument...]

Boots a QEMU guest with Debian's cloud kernel, emulated (TCG, no KVM), whose disks /dev/vda, /dev/vdb ... are the
vhost-user-blk back ends listening on the sockets, runs SCRIPT there with sh and prints what it prints. The guest's
root file system is this machine's, read-only; /tmp, /var/tmp and /run are writable and its own.

Disk number i (from 0) is the device "disk<i>" on the character device "disk<i>.socket", plugged into the PCIe port
"port<i>", so that hotplug.sh can unplug it; "port<number of disks>" is a free one.

environment:
  GUEST_MEM=512M        memory
  GUEST_SMP=2           processors
  GUEST_LIMIT=180       seconds after which the guest is killed
  GUEST_SHARE=DIR       directory seen by the guest at /run/share, read-write
  GUEST_ENV="A=1 B=2"   environment for SCRIPT
  GUEST_LOG=FILE        the guest's whole console goes here in the end
  GUEST_RINGS=          packed or split: the guest fails when its driver uses the other kind (see packed=on below)
  GUEST_MODULES="a b"   kernel modules to load first (SCRIPT can: load-module NAME)
  GUEST_VIRTIO_BLK=1    0: leave loading virtio_blk to SCRIPT
  GUEST_DISK_OPTIONS=   properties of every vhost-user-blk-pci device, e.g. num-queues=4,packed=on
  GUEST_RECONNECT=1     seconds between attempts to reach a back end that went away; 0: never
  GUEST_REBOOT=0        1: when the guest reboots, it boots again and SCRIPT runs again; 0: that ends the guest
  GUEST_APPEND=         kernel arguments
  GUEST_MACHINE=q35     QEMU's machine type with its properties
  GUEST_QMP=SOCK        QEMU listens here for qmp.pl and hotplug.sh

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

memory=${GUEST_MEM:-512M} limit=${GUEST_LIMIT:-180} reconnect=${GUEST_RECONNECT:-1}
need_number GUEST_LIMIT "$limit"
read_rings
need_number GUEST_RECONNECT "$reconnect"
need_command qemu-system-x86_64 busybox cpio setsid
need_file "$VUBLK_GUEST_DIR/kernel/complete"
virtiofsd=$(find_virtiofsd) || die "virtiofsd is missing: run scripts/guest/setup.sh"
find_kernel
read_sockets "$1"
script=$2
need_script "$script"
shift 2

start_rig
put_script "$script"
{
  # /lib is a link in Debian 13's package, and the guest has only this path of it.
  echo "MODULE_DIR=/run/kernel"
  echo "KERNEL=$(quote "$(realpath "$modules")")"
  echo "RUN=$(quote "$run")"
  echo "SHARE=$(quote "${GUEST_SHARE:+$(realpath "$GUEST_SHARE")}")"
} >>"$run/config"

make_initramfs() {
  local root=$run/initramfs
  mkdir -p "$root"/{bin,modules,dev,proc,sys,full,root}
  cp "$(command -v busybox)" "$root/bin/busybox"
  install -m 755 "$here/qemu-init.sh" "$root/init"
  copy_modules "$root/modules" virtio_pci virtiofs
  cp "$run/config" "$root/config"
  echo "BOOT_MODULES='$boot_modules'" >>"$root/config"
  (cd "$root" && find . | cpio -o -H newc --quiet) >"$run/initrd"
  rm -rf "$root"
}

make_initramfs

case $virtiofsd in
  /usr/lib/qemu/*) # C
    spawn "$virtiofsd" --socket-path="$run/files" -o source=/ -o cache=always -o sandbox=chroot -o log_level=err \
      </dev/null >"$run/virtiofsd.log" 2>&1
    ;;
  *) # Rust
    spawn "$virtiofsd" --socket-path="$run/files" --shared-dir=/ --cache=always --sandbox=chroot --log-level=error \
      </dev/null >"$run/virtiofsd.log" 2>&1
    ;;
esac
for ((i = 0; i < 200; i++)); do
  [ -S "$run/files" ] && break
  sleep 0.02
done
[ -S "$run/files" ] || die "virtiofsd did not start: $(cat "$run/virtiofsd.log")"

# Only a port can be plugged and unplugged, not q35's root bus.
disks=()
for i in "${!sockets[@]}"; do
  disks+=(
    -device "pcie-root-port,id=port$i,chassis=$((i + 1)),slot=$((i + 1))"
    -chardev "socket,id=disk$i.socket,path=${sockets[i]}$(reconnect_option "$reconnect")"
    -device "vhost-user-blk-pci,id=disk$i,bus=port$i,chardev=disk$i.socket${GUEST_DISK_OPTIONS:+,$GUEST_DISK_OPTIONS}"
  )
done
i=${#sockets[@]}
disks+=(-device "pcie-root-port,id=port$i,chassis=$((i + 1)),slot=$((i + 1))")

extra=()
# A guest that panics reboots too (panic=-1), and must not run SCRIPT a second time.
if [ "${GUEST_REBOOT:-0}" != 1 ]; then
  extra+=(-no-reboot)
fi
if [ -n "${GUEST_QMP:-}" ]; then
  extra+=(-qmp "unix:$(realpath -m "$GUEST_QMP"),server=on,wait=off")
fi

spawn qemu-system-x86_64 -nodefaults -no-user-config -display none \
  -machine "${GUEST_MACHINE:-q35},memory-backend=memory" -accel tcg,thread=multi -cpu max \
  -smp "${GUEST_SMP:-2}" -m "$memory" -object "memory-backend-memfd,id=memory,size=$memory,share=on" \
  -kernel "$kernel/boot/vmlinuz-$kernel_version" -initrd "$run/initrd" \
  -append "console=ttyS0 quiet panic=-1 ${GUEST_APPEND:-}" \
  -chardev "socket,id=files,path=$run/files" -device vhost-user-fs-pci,chardev=files,tag=host \
  -serial "file:$run/console" "${extra[@]}" "$@" "${disks[@]}" </dev/null >"$run/qemu.log" 2>&1
guest=$spawned
follow_console
wait_for_guest
