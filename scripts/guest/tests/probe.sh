# Prints what the guest sees of the disk, one name=value a line, for a test to assert on.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

sys=/sys/block/${DISK##*/}
[ -d "$sys" ] || fail "there is no $DISK"

value() {
  echo "$1=$(cat "$2" 2>/dev/null)"
}

value sectors "$sys/size"
value read_only "$sys/ro"
value serial "$sys/serial"
value cache_type "$sys/cache_type"
echo "queues=$(find "$sys/mq" -mindepth 1 -maxdepth 1 | wc -l)"
for name in logical_block_size physical_block_size minimum_io_size optimal_io_size max_segments max_segment_size \
  max_sectors_kb max_hw_sectors_kb nr_requests rotational write_cache fua discard_granularity discard_max_bytes \
  discard_max_hw_bytes max_discard_segments write_zeroes_max_bytes; do
  value $name "$sys/queue/$name"
done
value features "$sys/device/features"

# The names of the virtio specification without their prefixes; a bit without a name is printed as its number.
names="1:SIZE_MAX 2:SEG_MAX 4:GEOMETRY 5:RO 6:BLK_SIZE 9:FLUSH 10:TOPOLOGY 11:CONFIG_WCE 12:MQ 13:DISCARD \
14:WRITE_ZEROES 15:LIFETIME 16:SECURE_ERASE 17:ZONED 28:INDIRECT_DESC 29:EVENT_IDX 32:VERSION_1 33:ACCESS_PLATFORM \
34:RING_PACKED 35:IN_ORDER 36:ORDER_PLATFORM 37:SR_IOV 38:NOTIFICATION_DATA 40:RING_RESET"
list=
bit=0
for digit in $(value features "$sys/device/features" | sed 's/.*=//; s/./& /g'); do
  if [ "$digit" = 1 ]; then
    name=$bit
    for pair in $names; do
      [ "${pair%%:*}" != $bit ] || name=${pair#*:}
    done
    list="$list${list:+ }$name"
  fi
  bit=$((bit + 1))
done
echo "feature_names=$list"
