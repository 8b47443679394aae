#!/usr/bin/env bash
# Builds the User-Mode Linux kernel that knows zoned disks, which Debian's does not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/guest/paths.sh
. "$here/paths.sh"

usage() {
  cat <<'U'
usage: zoned-kernel.sh

Builds a User-Mode Linux kernel with zoned block devices, virtio_blk, null_blk, btrfs and zonefs built in, from Debian's
package linux-source-6.12 (virtio_blk knows zones since Linux 6.4), as VUBLK_GUEST_DIR/uml-zoned/linux.uml. Takes 153 MB to
fetch, 2.5 GB while it builds, and two to four minutes on two processors. Prints the kernel's path; does nothing when it is there.

environment: VUBLK_GUEST_DIR  (default ~/.cache/vublk/guest)
exit status: 0 ready, 1 failed (a line says why), 2 wrong arguments, 3 Debian's source package cannot be had here
U
}

case ${1:-} in
  '') ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

kernel=$VUBLK_GUEST_DIR/uml-zoned/linux.uml
if [ -x "$kernel" ]; then
  echo "$kernel"
  exit 0
fi
known() { apt-cache show linux-source-6.12 >/dev/null 2>&1; }
if command -v apt-get >/dev/null && ! known && [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq </dev/null >/dev/null || true
fi
known || {
  echo "apt knows no linux-source-6.12: this kernel cannot be built here" >&2
  exit 3
}
"$here/../install-packages.sh" gcc=gcc /usr/include/stdio.h=libc6-dev make=make flex=flex bison=bison bc=bc xz=xz-utils
mkdir -p "$VUBLK_GUEST_DIR"
exec 9>"$VUBLK_GUEST_DIR/.zoned-lock" # Several checkouts, or several test runs, may come here at the same time.
flock 9
if [ -x "$kernel" ]; then
  echo "$kernel"
  exit 0
fi
echo "building the guest kernel with zoned disks, which takes a few minutes, once" >&2

scratch=$(mktemp -d /var/tmp/vublk-kernel.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
build() {
  apt-get download -q linux-source-6.12 &&
    dpkg -x linux-source-6.12_*.deb . &&
    tar xf usr/src/linux-source-6.12.tar.xz &&
    cd linux-source-6.12 &&
    make ARCH=um x86_64_defconfig &&
    sed -i '/=m$/d' .config && # they would be built in, without modules
    ./scripts/config -d MODULES -d DEBUG_KERNEL -d DEBUG_INFO -e DEBUG_INFO_NONE -d FTRACE -d KALLSYMS -d IKCONFIG -d CGROUPS \
      -d NET -d UML_NET -d NETDEVICES -d SOUND -d INPUT -d HID_SUPPORT -d BLK_DEV_UBD -d EXT4_FS -d REISERFS_FS -d QUOTA &&
    ./scripts/config -e VIRTIO -e VIRTIO_MENU -e VIRTIO_UML -e BLK_DEV_ZONED -e VIRTIO_BLK -e BLK_DEV_NULL_BLK -e ZONEFS_FS \
      -e BTRFS_FS -e HOSTFS -e TMPFS -e SHMEM -e MEMFD_CREATE -e IO_URING -e AIO -e MQ_IOSCHED_DEADLINE -e CONFIGFS_FS &&
    make ARCH=um olddefconfig &&
    make ARCH=um -j"$(nproc)" linux
}
(build) >"$scratch/log" 2>&1 || {
  tail -n 15 "$scratch/log" >&2
  echo "the kernel could not be built" >&2
  exit 1
}
mkdir -p "$(dirname "$kernel")"
strip -o "$kernel.new" linux-source-6.12/linux
mv "$kernel.new" "$kernel"
echo "$kernel"
