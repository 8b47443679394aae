# Makes file systems on the disk, fills them, compares, trims, checks them, and reads all again from the disk.
# environment: FILE_SYSTEMS="ext4 xfs"; the disk must have at least 512 MiB. Destroys what is on the disk.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

compare() {
  check "$1: the large file differs $2" cmp /tmp/random /run/a/random
  check "$1: the rewritten file differs $2" cmp /tmp/rewritten /run/a/rewritten
  check "$1: the tree differs $2" diff -r /tmp/tree /run/a/tree
}

check "cannot make test data" dd if=/dev/urandom of=/tmp/random bs=1M count=16
# Some hundred small files, in directories. Few processes: they are slow in these guests.
for directory in 1 2 3 4; do
  mkdir -p "/tmp/tree/$directory/below"
  head -c 300000 /tmp/random | split -a 3 -b $((directory * 1111)) - "/tmp/tree/$directory/below/file"
done
for fs in ${FILE_SYSTEMS:-ext4 xfs}; do
  case $fs in
    ext4) check "mkfs.ext4" mkfs.ext4 -q -F "$DISK" ;;
    xfs) check "mkfs.xfs" mkfs.xfs -q -f "$DISK" ;;
    *) fail "no test for file system $fs" ;;
  esac
  load-module "$fs" || fail "the guest's kernel has no $fs"
  check "$fs: mount" mount -t "$fs" "$DISK" /run/a

  check "$fs: copy a tree" cp -R /tmp/tree /run/a/tree
  check "$fs: copy a large file" cp /tmp/random /run/a/random
  # Overwrite in the middle, unaligned, with a sync after each piece: small writes and flushes.
  cp /tmp/random /tmp/rewritten
  cp /tmp/random /run/a/rewritten
  for i in 1 2 3 4; do
    for file in /tmp/rewritten /run/a/rewritten; do
      check "$fs: rewrite" dd if=/tmp/random of="$file" bs=5003 skip=$((i * 7)) seek=$((i * 300)) count=3 \
        conv=notrunc,fsync
    done
  done
  # Deleted again, so that there is something to trim.
  check "$fs: copy a file to delete" cp /tmp/random /run/a/deleted
  sync
  rm /run/a/deleted
  drop_caches
  compare "$fs" "after drop_caches"

  if [ "$(queue_limit discard_max_bytes)" -gt 0 ]; then
    check "$fs: fstrim" fstrim -v /run/a
    trimmed=$(cat /tmp/check.out)
  else
    trimmed="no discard on this disk"
  fi
  drop_caches
  compare "$fs" "after fstrim"

  check "$fs: umount" umount /run/a
  case $fs in
    ext4) check "ext4: fsck finds errors" e2fsck -f -n "$DISK" ;;
    xfs) check "xfs: xfs_repair finds errors" xfs_repair -n "$DISK" ;;
  esac
  drop_caches
  check "$fs: second mount" mount -t "$fs" "$DISK" /run/a
  compare "$fs" "after a second mount"
  check "$fs: second umount" umount /run/a
  say "$fs: written, compared, checked ($trimmed)"
done
