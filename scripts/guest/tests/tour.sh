# What quickstart.sh shows: a file system on the disk, written, read back and compared, and a short benchmark.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

echo "Linux $(uname -r) sees $DISK: $(($(cat "/sys/block/${DISK##*/}/size") / 2048)) MiB," \
  "blocks of $(queue_limit logical_block_size) bytes, $(queue_limit write_cache)"
check "mkfs.ext4" mkfs.ext4 -q -F "$DISK"
check "mount" mount -t ext4 "$DISK" /run/a
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=32
check "write a file" cp /tmp/data /run/a/data
drop_caches
check "the file read back differs" cmp /tmp/data /run/a/data
check "umount" umount /run/a
check "fsck" e2fsck -f -n "$DISK"
echo "made an ext4 file system, wrote 32 MiB, read them back from the disk: the same bytes; fsck finds no error"
echo "fio (the guest runs without KVM, so these numbers show the guest's limits):"
export LOADS="${LOADS:-randread-4k-d32 randwrite-4k-d32 batched-4k-d64 read-128k-d16}" RUNTIME="${RUNTIME:-2}"
. /run/rig/bench.sh
