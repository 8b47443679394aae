# Where the rig finds its tools and keeps its files. Sourced by the other scripts.
# shellcheck shell=bash

# Absolute, because it is also mounted inside the QEMU guest.
VUBLK_GUEST_DIR=${VUBLK_GUEST_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vublk/guest}
VUBLK_GUEST_DIR=$(realpath -m "$VUBLK_GUEST_DIR")
export VUBLK_GUEST_DIR

# An ordinary user's PATH leaves out the directories of mkfs and blkdiscard.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# virtiofsd shares the host's files with the QEMU guest. Debian 12 has the old one, written in C, in
# qemu-system-common; from Debian 13 on it is the one in Rust, in a package of its own.
find_virtiofsd() {
  local path
  for path in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
    if [ -x "$path" ]; then
      printf '%s\n' "$path"
      return
    fi
  done
  return 1
}

virtiofsd_thing() {
  if apt-cache show virtiofsd >/dev/null 2>&1; then
    echo /usr/libexec/virtiofsd=virtiofsd
  else
    echo /usr/lib/qemu/virtiofsd=qemu-system-common
  fi
}

# reconnect_option SECONDS: the property of a socket character device; nothing for 0. QEMU 9.2 renamed it.
reconnect_option() {
  [ "$1" -gt 0 ] || return 0
  local version major minor
  version=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\.[0-9]*\).*/\1/p')
  major=${version%.*} minor=${version#*.}
  if [ "$((major * 100 + minor))" -ge 902 ]; then
    echo ",reconnect-ms=$(($1 * 1000))"
  else
    echo ",reconnect=$1"
  fi
}

# AMX is what makes the XSAVE area larger than UML's buffer, see uml-xsave-pad.c.
uml_needs_pad() {
  grep -qw -m1 amx_tile /proc/cpuinfo
}
