#!/usr/bin/env bash
# Prepares the machine for the guest tests: packages, the guest kernel, two small programs. Fast when all is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/guest/paths.sh
. "$here/paths.sh"

usage() {
  cat <<'U'
usage: setup.sh [--uml]

Installs the Debian packages that the guests need (as root, where there is apt-get; else it says which), fetches and
unpacks Debian's cloud kernel for the QEMU guests, builds uml-xsave-pad.so for User-Mode Linux and the boot sector.
--uml: only what the User-Mode Linux guests need (no QEMU, no kernel to fetch).

environment: VUBLK_GUEST_DIR  where the kernel and the built files go (default ~/.cache/vublk/guest), shared by all
                              checkouts
exit status: 0 ready, 1 something is missing (a line says what), 2 wrong arguments
U
}

uml_only=false
case ${1:-} in
  '') ;;
  --uml) uml_only=true ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

if [ "$(uname -m)" != x86_64 ]; then
  echo "the guests run on x86-64 only; this machine is $(uname -m)" >&2
  exit 1
fi

things=(
  linux.uml=user-mode-linux busybox=busybox-static
  fio=fio mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs blkdiscard=util-linux setsid=util-linux cmp=diffutils
)
if ! $uml_only; then
  things+=(
    qemu-system-x86_64=qemu-system-x86 qemu-storage-daemon=qemu-system-common qemu-img=qemu-utils
    cpio=cpio perl=perl-base gcc=gcc as=binutils /usr/include/stdio.h=libc6-dev
  )
  # The QEMU guest's initramfs has no C library. Debian's package busybox is the dynamically linked one.
  if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then
    things+=(/usr/share/doc/busybox-static=busybox-static)
  fi
  find_virtiofsd >/dev/null || things+=("$(virtiofsd_thing)")
elif uml_needs_pad; then
  things+=(gcc=gcc /usr/include/stdio.h=libc6-dev)
fi
"$here/../install-packages.sh" "${things[@]}"

mkdir -p "$VUBLK_GUEST_DIR"
# Several checkouts, or several test runs, may come here at the same time.
exec 9>"$VUBLK_GUEST_DIR/.lock"
flock 9

# Every artefact is made under another name and renamed, so that a broken run leaves nothing that looks finished.
scratch=$(mktemp -d "$VUBLK_GUEST_DIR/.new.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

build_pad() {
  local source=$here/uml-xsave-pad.c target=$VUBLK_GUEST_DIR/uml-xsave-pad.so
  [ "$target" -nt "$source" ] && return
  gcc -O2 -Wall -Wextra -shared -fPIC -o "$scratch/pad.so" "$source"
  mv "$scratch/pad.so" "$target"
}

build_boot_sector() {
  local source=$here/boot.s target=$VUBLK_GUEST_DIR/boot.bin
  [ "$target" -nt "$source" ] && return
  as --32 -o "$scratch/boot.o" "$source"
  ld -m elf_i386 -Ttext=0x7c00 -e _start -o "$scratch/boot.elf" "$scratch/boot.o"
  objcopy -O binary -j .text "$scratch/boot.elf" "$scratch/boot.bin"
  mv "$scratch/boot.bin" "$target"
}

# The kernel package is only unpacked, never installed. The meta package names the current version.
fetch_kernel() {
  [ -e "$VUBLK_GUEST_DIR/kernel/complete" ] && return
  local package
  if ! command -v apt-get >/dev/null; then
    echo "the QEMU guests boot Debian's cloud kernel, and this machine has no apt-get to fetch it: unpack a" \
      "linux-image-*-cloud-amd64 package in $VUBLK_GUEST_DIR/kernel, run depmod and create the file complete" >&2
    exit 1
  fi
  package=$(kernel_package)
  if [ -z "$package" ]; then
    [ "$(id -u)" -ne 0 ] || apt-get update -qq </dev/null >/dev/null
    package=$(kernel_package)
  fi
  if [ -z "$package" ]; then
    echo "apt knows no linux-image-cloud-amd64: run apt-get update as root, and check that the sources are Debian's" >&2
    exit 1
  fi
  echo "fetching the guest kernel $package" >&2
  if ! download "$package"; then
    [ "$(id -u)" -ne 0 ] || apt-get update -qq </dev/null >/dev/null
    package=$(kernel_package)
    download "$package" || { cat "$scratch/apt.log" >&2; echo "cannot download $package" >&2; exit 1; }
  fi
  dpkg -x "$scratch"/linux-image-*.deb "$scratch/kernel"
  # Since Debian 13 /lib is a link to usr/lib, and the package's files are below usr/lib.
  [ -d "$scratch/kernel/lib/modules" ] || ln -s usr/lib "$scratch/kernel/lib"
  busybox depmod -b "$scratch/kernel" "$(basename "$scratch"/kernel/lib/modules/*)"
  touch "$scratch/kernel/complete"
  rm -rf "$VUBLK_GUEST_DIR/kernel"
  mv "$scratch/kernel" "$VUBLK_GUEST_DIR/kernel"
}

kernel_package() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }'
}

download() {
  (cd "$scratch" && apt-get download -q "$1" >apt.log 2>&1)
}

if ! $uml_only; then
  build_boot_sector
  fetch_kernel
fi
if ! $uml_only || uml_needs_pad; then
  build_pad
fi
