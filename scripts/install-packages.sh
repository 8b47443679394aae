#!/usr/bin/env bash
# Makes sure that commands and files exist, by installing the Debian packages that bring them.
set -euo pipefail

usage() {
  cat <<'U'
usage: install-packages.sh THING=PACKAGE...

Installs PACKAGE for each THING that is missing. A THING is a command name (fio=fio) or, when it starts with a
slash, a file (/usr/include/stdio.h=libc6-dev). Does nothing, quickly, when everything is there.
Needs root and apt-get to install; otherwise it says what to install and fails.

exit status: 0 everything is there, 1 something is missing, 2 wrong arguments
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  '') usage >&2; exit 2 ;;
esac

# An ordinary user's PATH leaves out the directories of mkfs and blkdiscard.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

present() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing_packages() {
  local pair
  for pair; do
    present "${pair%%=*}" || printf '%s\n' "${pair#*=}"
  done | sort -u
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" \
    </dev/null >/dev/null
}

mapfile -t packages < <(missing_packages "$@")
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${packages[*]} (Debian's package names); this machine has no apt-get, please install them" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "missing packages; run: sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi

echo "installing ${packages[*]}" >&2
# The first attempt fails when the package lists are missing or older than the archive.
if ! apt_install "${packages[@]}" 2>/dev/null; then
  apt-get update -qq </dev/null >/dev/null || true
  apt_install "${packages[@]}" || { echo "cannot install ${packages[*]}" >&2; exit 1; }
fi

mapfile -t packages < <(missing_packages "$@")
if [ ${#packages[@]} -gt 0 ]; then
  echo "apt-get succeeded, but what these packages should bring is still missing: ${packages[*]}" >&2
  exit 1
fi
