# The disk has the block size it should have, and works with it. Destroys the first 16 MiB.
# environment: BLOCK_SIZE=512, PHYSICAL_BLOCK_SIZE (not checked when empty)
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

block=${BLOCK_SIZE:-512}
actual=$(queue_limit logical_block_size)
[ "$actual" = "$block" ] || fail "the logical block size is $actual, not $block"
actual=$(queue_limit physical_block_size)
[ "${PHYSICAL_BLOCK_SIZE:-$actual}" = "$actual" ] || fail "the physical block size is $actual, not $PHYSICAL_BLOCK_SIZE"

# Single blocks at odd places, read one by one and all at once.
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs="$block" count=67
check "write single blocks" dd if=/tmp/data of="$DISK" bs="$block" seek=13 oflag=direct conv=fsync
check "read single blocks" dd if="$DISK" of=/tmp/read bs="$block" skip=13 count=67 iflag=direct
check "single blocks differ" cmp /tmp/data /tmp/read
check "read all blocks at once" dd if="$DISK" of=/tmp/read bs=$((block * 80)) count=1 iflag=direct
check "blocks read at once differ" cmp -i 0:$((block * 13)) -n $((block * 67)) /tmp/data /tmp/read

if [ "$block" -gt 512 ]; then
  refuse "a read of 512 bytes worked on a disk of $block-byte blocks" \
    dd if="$DISK" of=/dev/null bs=512 count=1 iflag=direct
fi
check "fio with blocks of $block" fio --name=blocks --filename="$DISK" --size=8M --rw=randwrite --bs="$block" \
  --direct=1 --ioengine=libaio --iodepth=32 --verify=crc32c --verify_fatal=1 --minimal
say "block size $block: right, and verified"
