#!/usr/bin/env bash
# vublk convert beside qemu-img convert: the same work, one after the other, medians.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: bench.sh convert [option...]

Makes an ext4 image of files of this machine, and converts it with vublk and with qemu-img: raw to raw, to qcow2 and to compressed
qcow2, and qcow2 to raw. Start-up of the virtual machine is included. Both make the target stable (qemu-img with -t writeback),
what both make is compared by qemu-img at the end.

  --rounds N      rounds, vublk and qemu-img in turn (default 3)
  --size SIZE     of the image (default 1G)
  --data DIR      whose files are in it, as many as fit (default /usr/lib)
  --dirs LIST     directories to work in, on different file systems (default /dev/shm,/var/tmp)
  --cases LIST    of raw-raw,raw-qcow2,qcow2-raw,zlib,zstd (default all)
  --threads N     -m of both (default: processors)
  --out FILE      write the table to FILE as well

exit status: 0 all measured, 1 something failed (a line says what), 2 wrong arguments
U
}

fail() {
  echo "bench.sh: $*" >&2
  exit 1
}

rounds=3 size=1G data=/usr/lib dirs=/dev/shm,/var/tmp cases=raw-raw,raw-qcow2,qcow2-raw,zlib,zstd threads=$(nproc) out=/dev/null
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --size) size=$2 ;;
    --data) data=$2 ;;
    --dirs) dirs=$2 ;;
    --cases) cases=$2 ;;
    --threads) threads=$2 ;;
    --out) out=$2 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "bench.sh: convert has no option '$1'" >&2; exit 2 ;;
  esac
  [ $# -ge 2 ] || { echo "bench.sh: $1 needs a value" >&2; exit 2; }
  shift 2
done
command -v qemu-img >/dev/null || fail "qemu-img is missing (scripts/guest/setup.sh)"
command -v mkfs.ext4 >/dev/null || fail "mkfs.ext4 is missing"

scratch=''
clean_up() { [ -z "$scratch" ] || rm -rf "$scratch"; }
trap clean_up EXIT

# populate IMAGE: an ext4 file system with files of $data, up to seven eighths of it.
populate() {
  local room
  room=$(($(numfmt --from=iec "$size") / 8 * 7))
  mkdir "$scratch/files"
  (cd "$data" && find . -xdev -type f -printf '%s\t%p\n' 2>/dev/null | sort -k2 \
    | awk -F'\t' -v room="$room" '{ sum += $1 + 4096; if (sum <= room) print $2 }') >"$scratch/list"
  (cd "$data" && cpio -pdm --quiet "$scratch/files" <"$scratch/list" 2>/dev/null) || true
  truncate -s "$size" "$1"
  mkfs.ext4 -q -F -d "$scratch/files" "$1"
  rm -rf "$scratch/files" "$scratch/list"
}

# measure COMMAND...: how long it takes and its CPU time, in seconds.
measure() {
  local log=$scratch/time
  sync
  /usr/bin/time -f '%e %U %S' -o "$log" "$@" >"$scratch/log" 2>&1 || fail "$* failed: $(tail -1 "$scratch/log")"
  awk '{ printf "%s %.2f\n", $1, $2 + $3 }' "$log"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }


options_of() {
  case $1 in
    raw-raw) echo 'a.img -f raw -O raw' ;;
    raw-qcow2) echo 'a.img -f raw -O qcow2' ;;
    qcow2-raw) echo 'a.qcow2 -f qcow2 -O raw' ;;
    zlib) echo 'a.img -f raw -c -O qcow2 -o compression_type=zlib' ;;
    zstd) echo 'a.img -f raw -c -O qcow2 -o compression_type=zstd' ;;
    *) fail "there is no case '$1'" ;;
  esac
}

table() {
  printf '| where | case | vublk s | qemu-img s | times faster | vublk CPU s | qemu-img CPU s | vublk MiB | qemu-img MiB |\n'
  printf '|---|---|---|---|---|---|---|---|---|\n'
  local dir name source
  for dir in ${dirs//,/ }; do
    scratch=$(mktemp -d "$dir/vublk-convert.XXXXXX")
    populate "$scratch/a.img"
    qemu-img convert -f raw -O qcow2 "$scratch/a.img" "$scratch/a.qcow2"
    for name in ${cases//,/ }; do
      local words
      read -ra words <<<"$(options_of "$name")"
      source=$scratch/${words[0]}
      : >"$scratch/ours"; : >"$scratch/theirs"
      for ((round = 0; round < rounds; round++)); do
        rm -f "$scratch/x" "$scratch/y"
        measure "$here/vublk" convert -m "$threads" "${words[@]:1}" "$source" "$scratch/x" >>"$scratch/ours"
        measure qemu-img convert -t writeback -m "$threads" "${words[@]:1}" "$source" "$scratch/y" >>"$scratch/theirs"
      done
      qemu-img compare -q "$scratch/x" "$scratch/y" || fail "$name: the images differ"
      local a b ca cb sa sb
      a=$(awk '{ print $1 }' "$scratch/ours" | median)
      b=$(awk '{ print $1 }' "$scratch/theirs" | median)
      ca=$(awk '{ print $2 }' "$scratch/ours" | median)
      cb=$(awk '{ print $2 }' "$scratch/theirs" | median)
      sa=$(du -m "$scratch/x" | cut -f1)
      sb=$(du -m "$scratch/y" | cut -f1)
      printf '| %s | %s | %.2f | %.2f | %.2f | %.2f | %.2f | %d | %d |\n' "$(stat -f -c %T "$dir")" "$name" "$a" "$b" \
        "$(awk -v a="$a" -v b="$b" 'BEGIN { print b / a }')" "$ca" "$cb" "$sa" "$sb"
    done
    rm -rf "$scratch"
    scratch=''
  done
}

table | tee "$out"
