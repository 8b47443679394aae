# For a read-only disk that holds an ext4 file system (mkfs.ext4 on the image): it can be read and mounted read-only,
# and nothing writes it.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

[ "$(cat "/sys/block/${DISK##*/}/ro")" = 1 ] || fail "$DISK is not read-only"
has_feature 5 || fail "VIRTIO_BLK_F_RO (bit 5) was not negotiated"

check "read" dd if="$DISK" of=/tmp/first bs=1M count=8 iflag=direct
refuse "dd could write" dd if=/dev/zero of="$DISK" bs=4k count=1 oflag=direct conv=notrunc
refuse "blkdiscard worked" blkdiscard -o 0 -l 4096 "$DISK"
refuse "write-zeroes worked" blkdiscard -z -o 0 -l 4096 "$DISK"
refuse "the disk could be made writable and written" \
  sh -c "blockdev --setrw $DISK && dd if=/dev/zero of=$DISK bs=4k count=1 oflag=direct conv=notrunc"

check "mount -o ro" mount -t ext4 -o ro "$DISK" /run/a
[ -d /run/a/lost+found ] || fail "the file system's root directory is not right"
refuse "a file could be made" touch /run/a/file
refuse "the file system could be remounted read-write" mount -o remount,rw /run/a
check "umount" umount /run/a

drop_caches
check "read again" dd if="$DISK" of=/tmp/second bs=1M count=8 iflag=direct
check "the disk changed" cmp /tmp/first /tmp/second
say "read-only: reads and mounts, refuses writes"
