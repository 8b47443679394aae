# For two guests on one read-only disk with an ext4. Needs GUEST_SHARE: each makes the file "here-$ME" there and waits for the
# other's, then both read everything; before it ends it waits until the other has read everything too.
# environment: ME OTHER names of the guests, WAIT=60 seconds for the other
# shellcheck shell=sh source=scripts/guest/tests/lib.sh
. /run/rig/lib.sh

# meet NAME: waits until the other guest has come to the same point.
meet() {
  touch "/run/share/$1-$ME"
  tries=0
  until [ -e "/run/share/$1-$OTHER" ]; do
    tries=$((tries + 1))
    [ $tries -le $((${WAIT:-60} * 10)) ] || fail "guest $OTHER is not $1 within ${WAIT:-60} s"
    sleep 0.1
  done
}

meet here
check "mount" mount -t ext4 -o ro "$DISK" /run/a
check "read all files" tar -C /run/a -cf /tmp/files.tar .
check "read the whole disk" dd if="$DISK" of=/dev/null bs=1M iflag=direct
md5sum <"$DISK" >"/run/share/sum-$ME"
meet done
check "the two guests read different data" cmp "/run/share/sum-$ME" "/run/share/sum-$OTHER"
check "unmount" umount /run/a
say "read beside $OTHER"
