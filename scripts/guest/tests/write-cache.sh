# Switches the disk's write cache off and on through the config space, and checks that flushes follow. Destroys the
# first MiB of the disk.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

cache_type=/sys/block/${DISK##*/}/cache_type
has_feature 11 || fail "VIRTIO_BLK_F_CONFIG_WCE (bit 11) was not negotiated"

# Field 16 of the statistics counts completed flushes.
flushes() {
  awk '{ print $16 }' "/sys/block/${DISK##*/}/stat"
}

# synced_writes MODE: switches to MODE, writes, reads back, and sets flushed to the number of flushes.
synced_writes() {
  echo "$1" >"$cache_type" || fail "cannot switch to $1"
  # The attribute is read from the device's config space: it shows what the back end made of it.
  [ "$(cat "$cache_type")" = "$1" ] || fail "after switching to $1 the disk says $(cat "$cache_type")"
  [ "$(queue_limit write_cache)" = "$1" ] || fail "after switching to $1 the queue has $(queue_limit write_cache)"
  before=$(flushes)
  dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
  check "write with $1" dd if=/tmp/data of="$DISK" bs=64k oflag=direct,sync
  check "read with $1" dd if="$DISK" of=/tmp/read bs=64k count=16 iflag=direct
  check "other data with $1" cmp /tmp/data /tmp/read
  flushed=$(($(flushes) - before))
}

start=$(cat "$cache_type")
say "starts as $start"
for round in 1 2; do
  synced_writes "write through"
  [ $flushed -eq 0 ] || fail "$flushed flushes although the disk writes through"
  synced_writes "write back"
  [ $flushed -gt 0 ] || fail "no flush although the disk has a write cache"
  say "round $round: write through: no flush; write back: $flushed flushes"
done
echo "$start" >"$cache_type"
