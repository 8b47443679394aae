# Writes with mixed sizes and verifies checksums, then checks write-zeroes and discard and what lies beside them.
# environment: SIZE=64M of the disk is used. Destroys what is there.
#              NEED="discard write-zeroes": what the disk must offer, empty for neither
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

size=${SIZE:-64M}
block=$(queue_limit logical_block_size)

verify() {
  verify_name=$1
  shift
  check "fio $verify_name" fio --name="$verify_name" --filename="$DISK" --size="$size" --direct=1 --verify=crc32c \
    --verify_fatal=1 --do_verify=1 --randrepeat=0 --minimal "$@"
  say "fio $verify_name: verified"
}

verify mixed-sizes --rw=randwrite --bsrange="$block-128k" --blockalign="$block" --ioengine=libaio --iodepth=32
verify io_uring-4k --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=64
verify vectors --rw=write --bs=256k --ioengine=pvsync --fsync=8
verify large --rw=write --bs=4M --ioengine=libaio --iodepth=4

# A region of 8 MiB of random bytes; 1 MiB to 5 MiB of it is zeroed or discarded, unaligned to anything but blocks.
mib=1048576
hole_start=$((mib + block))
hole_length=$((4 * mib - 3 * block))
hole_end=$((hole_start + hole_length))
fill() {
  check "cannot make test data" dd if=/dev/urandom of=/tmp/region bs=1M count=8
  check "write" dd if=/tmp/region of="$DISK" bs=1M oflag=direct conv=fsync
}
neighbours() {
  check "read" dd if="$DISK" of=/tmp/after bs=1M count=8 iflag=direct
  check "$1 touched what lies before it" cmp -n $hole_start /tmp/region /tmp/after
  check "$1 touched what lies after it" cmp -i $hole_end /tmp/region /tmp/after
}

for feature in ${NEED-discard write-zeroes}; do
  case $feature in
    discard) limit=discard_max_bytes ;;
    write-zeroes) limit=write_zeroes_max_bytes ;;
    *) fail "NEED has an unknown word: $feature" ;;
  esac
  [ "$(queue_limit $limit)" -gt 0 ] || fail "the disk does not offer $feature"
done

# The kernel itself writes zeros when the disk has no write-zeroes: the result must be the same.
fill
check "write-zeroes" blkdiscard -z -o $hole_start -l $hole_length "$DISK"
neighbours write-zeroes
check "write-zeroes left other bytes than zero" cmp -i $hole_start:0 -n $hole_length /tmp/after /dev/zero
say "write-zeroes: zeros, neighbours untouched (device's own: $(queue_limit write_zeroes_max_bytes) bytes)"

if [ "$(queue_limit discard_max_bytes)" -gt 0 ]; then
  fill
  check "discard" blkdiscard -o $hole_start -l $hole_length "$DISK"
  neighbours discard
  # What is read from discarded blocks is not defined, but writing them must work.
  check "write over discarded blocks" dd if=/tmp/region of="$DISK" bs=1M oflag=direct conv=fsync
  hole_start=0 hole_end=0
  neighbours "writing over discarded blocks"
  say "discard: neighbours untouched, blocks writable"
fi
