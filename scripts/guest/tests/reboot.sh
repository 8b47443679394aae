# Writes a pattern, reboots the guest, and verifies it in the second boot (QEMU with GUEST_REBOOT=1). The marker in the
# first block tells the boots apart, so the image must be new. Destroys the first 10 MiB.
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# The marker block: a word and the checksum of MiB 1 to 9.
marker="vublk-before-reboot"

write_marker() {
  { echo "$1"; dd if=/dev/zero bs=4096 count=1 2>/dev/null; } | head -c 4096 >/tmp/marker
  check "write the marker" dd if=/tmp/marker of="$DISK" bs=4096 oflag=direct conv=fsync
}

checksum() {
  dd if="$DISK" bs=1M skip=1 count=8 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1
}

check "read the marker" dd if="$DISK" of=/tmp/marker bs=4096 count=1 iflag=direct
read -r word sum </tmp/marker 2>/dev/null || true
if [ "$word" != "$marker" ]; then
  check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=8
  check "write" dd if=/tmp/data of="$DISK" bs=1M seek=1 oflag=direct conv=fsync
  write_marker "$marker $(sha256sum /tmp/data | cut -d' ' -f1)"
  say "first boot: written, rebooting"
  busybox reboot -f
  sleep 60
  fail "the guest did not reboot"
fi

[ "$(checksum)" = "$sum" ] || fail "the second boot reads other data than the first wrote"
check "cannot make test data" dd if=/dev/urandom of=/tmp/data bs=1M count=8
check "write in the second boot" dd if=/tmp/data of="$DISK" bs=1M seek=1 oflag=direct conv=fsync
[ "$(checksum)" = "$(sha256sum /tmp/data | cut -d' ' -f1)" ] || fail "the second boot reads other data than it wrote"
write_marker "vublk-after-reboot"
say "second boot: same data, and writable"
