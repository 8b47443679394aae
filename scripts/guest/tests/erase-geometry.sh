# The kernel's secure discard erases and leaves the neighbours alone; discards of several ranges go in one request; the
# geometry is the expected one. Destroys the first 16 MiB.
# environment: GEOMETRY="C/H/S" (not checked when empty)
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

has_feature 16 || fail "no VIRTIO_BLK_F_SECURE_ERASE"
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=4
check "write" dd if=/tmp/data of="$DISK" bs=1M oflag=direct conv=fsync
check "secure discard" blkdiscard --secure -o 1M -l 2M "$DISK"
check "read" dd if="$DISK" of=/tmp/read bs=1M count=4 iflag=direct
check "erased data is still there" cmp -i 1048576:0 -n 2097152 /tmp/read /dev/zero
check "data before it differs" cmp -n 1048576 /tmp/data /tmp/read
check "data behind it differs" cmp -i 3145728 -n 1048576 /tmp/data /tmp/read
say "secure discard: erased what it should"

# Not more than the driver takes: Linux 6.1 asks for the segments in max_discard_seg, 256 at most.
[ "$(queue_limit max_discard_segments)" -ge 32 ] ||
  fail "discards have $(queue_limit max_discard_segments) segments, not 32"
say "discards of $(queue_limit max_discard_segments) segments"

# HDIO_GETGEO: struct hd_geometry { u8 heads; u8 sectors; u16 cylinders; unsigned long start; }
actual=$(perl -e 'open F, "<", $ARGV[0] or die; $b = "\0" x 16; ioctl F, 0x301, $b or die;
  print join "/", (unpack "CCS", $b)[2, 0, 1]' "$DISK")
[ "$actual" = "${GEOMETRY:-$actual}" ] || fail "the geometry is $actual, not $GEOMETRY"
say "geometry $actual"
