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
fetch, 2.5 GB while it builds, and five to ten minutes. Prints the kernel's path; does nothing when it is there.

environment: VUBLK_GUEST_DIR  (default ~/.cache/vublk/guest)
exit status: 0 ready, 1 failed (a line says why), 2 wrong arguments
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
for program in gcc make flex bison bc xz apt-get; do
  command -v $program >/dev/null || {
    echo "$program is missing: apt-get install gcc make flex bison bc xz-utils" >&2
    exit 1
  }
done

scratch=$(mktemp -d /var/tmp/vublk-kernel.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
build() {
  apt-get download -q linux-source-6.12 &&
    dpkg -x linux-source-6.12_*.deb . &&
    tar xf usr/src/linux-source-6.12.tar.xz &&
    cd linux-source-6.12 &&
    make ARCH=um x86_64_defconfig &&
    ./scripts/config -d MODULES -d DEBUG_INFO -e DEBUG_INFO_NONE -e VIRTIO -e VIRTIO_MENU -e VIRTIO_UML \
      -e BLK_DEV_ZONED -e VIRTIO_BLK -e BLK_DEV_NULL_BLK -e ZONEFS_FS -e BTRFS_FS -e HOSTFS -e TMPFS -e SHMEM \
      -e MEMFD_CREATE -e IO_URING -e AIO -e MQ_IOSCHED_DEADLINE -e CONFIGFS_FS &&
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
