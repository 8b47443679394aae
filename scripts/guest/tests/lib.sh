# Functions for the scripts that run in a guest, which source it as /run/rig/lib.sh. POSIX sh.
# shellcheck shell=sh

DISK=${DISK:-/dev/vda}

# say TEXT: a line with the guest's uptime, which shows where the time goes.
say() {
  echo "[$(cut -d' ' -f1 /proc/uptime)] $*"
}

# fail TEXT: the one clear line of a test that failed.
fail() {
  echo "FAILED: $*"
  exit 1
}

# check TEXT COMMAND...: runs COMMAND and fails with TEXT when that does.
check() {
  check_text=$1
  shift
  "$@" >/tmp/check.out 2>&1 || {
    check_status=$?
    tail -n 15 /tmp/check.out
    fail "$check_text (status $check_status: $*)"
  }
}

# refuse TEXT COMMAND...: runs COMMAND and fails with TEXT when that succeeds.
refuse() {
  refuse_text=$1
  shift
  if "$@" >/tmp/check.out 2>&1; then
    fail "$refuse_text ($* succeeded)"
  fi
}

# queue_limit NAME [DISK]: a value below /sys/block/DISK/queue.
queue_limit() {
  queue_disk=${2:-$DISK}
  cat "/sys/block/${queue_disk##*/}/queue/$1"
}

# drop_caches: what is read next comes from the disk. Files only (1): in a QEMU guest dropping directory entries too
# means to look all programs up again over virtiofs.
drop_caches() {
  sync
  echo 1 >/proc/sys/vm/drop_caches
}

# check_rings packed|split [DISK]: that the driver uses rings of that kind (VIRTIO_F_RING_PACKED).
check_rings() {
  rings_disk=${2:-$DISK}
  if has_feature 34 "$rings_disk"; then rings=packed; else rings=split; fi
  [ "$rings" = "$1" ] || fail "$rings_disk has $rings rings, not $1 ones"
}

# has_feature BIT [DISK]: whether driver and device agreed on a virtio feature.
has_feature() {
  feature_disk=${2:-$DISK}
  [ "$(cut -c $(($1 + 1)) "/sys/block/${feature_disk##*/}/device/features")" = 1 ]
}
