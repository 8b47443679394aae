# A host-managed zoned disk: reports and operations on zones, fio's checks of sequential zones, and a btrfs made for
# zones that is filled, compared and scrubbed. Destroys the disk.
# environment: ZONE_SECTORS, ZONES (expected)
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

model=$(queue_limit zoned)
[ "$model" = host-managed ] || fail "the disk is $model, not host-managed"
actual=$(queue_limit chunk_sectors)
[ "$actual" = "${ZONE_SECTORS:-$actual}" ] || fail "zones have $actual sectors, not $ZONE_SECTORS"
zone=$actual
actual=$(queue_limit nr_zones)
[ "$actual" = "${ZONES:-$actual}" ] || fail "there are $actual zones, not $ZONES"
say "$actual zones of $zone sectors, $(queue_limit max_open_zones) open, $(queue_limit max_active_zones) active"

# The first sequential zone.
first=$(blkzone report "$DISK" | grep SEQ_WRITE_REQUIRED | head -n 1 | sed 's/.*start: \(0x[0-9a-f]*\),.*/\1/')
first=$((first))

# state_is NAME [WPTR]: nw, em, oi, oe, cl, fu, as blkzone calls them.
state_is() {
  line=$(blkzone report -o "$first" -c 1 "$DISK")
  case $line in
    *"($1)"*) ;;
    *) fail "the zone is not $1: $line" ;;
  esac
  case $line in
    *"wptr $(printf 0x%06x "${2:-0}")"*) ;;
    *) [ -z "${2:-}" ] || fail "the write pointer is not at $2: $line" ;;
  esac
}

operate() {
  check "blkzone $1" blkzone "$1" -o "$first" -c 1 "$DISK"
}

write_at() {
  dd if=/tmp/data of="$DISK" bs=4096 count="$2" seek=$((first / 8 + $1)) oflag=direct conv=notrunc 2>/dev/null
}

dd if=/dev/urandom of=/tmp/data bs=4096 count=64 2>/dev/null
check "reset all zones" blkzone reset "$DISK"
state_is em
operate open
state_is oe
operate close
state_is em
check "write at the start" write_at 0 8
state_is oi 64
operate close
state_is cl 64
refuse "a write behind the write pointer worked" write_at 9 1
refuse "a write before the write pointer worked" write_at 0 1
state_is cl 64 # After an error Linux does not know the write pointer until it has asked.
check "write at the write pointer" write_at 8 8
check "read it" dd if="$DISK" of=/tmp/read bs=4096 skip=$((first / 8)) count=24 iflag=direct
check "what was written differs" cmp -n $((8 * 4096)) /tmp/data /tmp/read
check "behind the write pointer are no zeroes" cmp -i $((16 * 4096)):0 -n $((8 * 4096)) /tmp/read /dev/zero
operate finish
state_is fu
operate reset
state_is em 0
say "operations on zones"

check "fio" fio --name=zbd --filename="$DISK" --zonemode=zbd --offset=$((first * 512)) --size=$((zone * 512 * 4)) \
  --rw=write --bs=64k --direct=1 --ioengine=psync --verify=crc32c --do_verify=1 --verify_fatal=1 --minimal
say "fio wrote and verified four zones"

check "reset all zones" blkzone reset "$DISK"
if grep -qw btrfs /proc/filesystems && command -v mkfs.btrfs >/dev/null; then
  check "mkfs.btrfs" mkfs.btrfs -q -f -O zoned -d single -m single "$DISK"
  check "mount" mount -t btrfs "$DISK" /run/a
  for i in 1 2 3; do
    mkdir "/run/a/$i"
    check "fill" cp -r /bin/busybox /etc/services /usr/include/linux "/run/a/$i/"
    sync
  done
  rm -r /run/a/2
  check "unmount" umount /run/a
  check "btrfs check" btrfs check --readonly "$DISK"
  drop_caches
  check "mount again" mount -t btrfs "$DISK" /run/a
  check "compare" diff -r /usr/include/linux /run/a/3/linux
  check "compare" cmp /bin/busybox /run/a/1/busybox
  check "scrub" btrfs scrub start -B /run/a
  check "unmount" umount /run/a
  say "btrfs on zones: filled, checked, compared, scrubbed"
fi
