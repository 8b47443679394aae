# The driver of host-managed devices on this guest's own zoned null_blk, /dev/nullb0: real ioctls, a real device.
# environment: CLASSPATH of the tests, JAVA
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

[ "$(queue_limit zoned /dev/nullb0)" = host-managed ] || fail "/dev/nullb0 is not host-managed"
"$JAVA" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx200m --enable-native-access=ALL-UNNAMED \
  --sun-misc-unsafe-memory-access=allow -cp "$CLASSPATH" dev.vublk.blockdev.zoned.ZonedDeviceCheck /dev/nullb0 ||
  fail "the check of the zoned device"
say "zoned device: right"
