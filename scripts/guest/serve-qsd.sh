#!/usr/bin/env bash
# Serves an image with qemu-storage-daemon: the reference back end, to try the rig and to compare with.
set -euo pipefail

usage() {
  cat <<'U'
usage: serve-qsd.sh IMAGE --socket SOCK [--num-queues 4] [--block-size 512] [--read-only]

Serves IMAGE (a file that exists) as vhost-user-blk on SOCK with qemu-storage-daemon, in the foreground. Prints a line
that starts with "ready" when the socket listens. SIGTERM ends it. Called like "vublk export".

environment: QSD_DIRECT=on  O_DIRECT, QSD_AIO=threads|native|io_uring
exit status: that of qemu-storage-daemon (0 after SIGTERM), 2 wrong arguments, 1 it did not start
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
image=${1:-} socket='' queues=4 block_size=512 writable=on
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
  case $1 in
    --socket) socket=${2:-} ; shift 2 || true ;;
    --num-queues) queues=${2:-} ; shift 2 || true ;;
    --block-size) block_size=${2:-} ; shift 2 || true ;;
    --read-only) writable=off ; shift ;;
    *) usage >&2; exit 2 ;;
  esac
done
if [ -z "$image" ] || [ -z "$socket" ] || [ -z "$queues" ] || [ -z "$block_size" ]; then
  usage >&2
  exit 2
fi
if [ ! -e "$image" ]; then
  echo "serve-qsd.sh: no image at $image (make one with: truncate -s 1G $image)" >&2
  exit 1
fi
if ! command -v qemu-storage-daemon >/dev/null; then
  echo "serve-qsd.sh: qemu-storage-daemon is missing: run scripts/guest/setup.sh" >&2
  exit 1
fi

read_only=$([ "$writable" = on ] && echo off || echo on)
rm -f "$socket"
qemu-storage-daemon \
  --blockdev "driver=file,node-name=file,filename=$image,discard=unmap,aio=${QSD_AIO:-threads},cache.direct=${QSD_DIRECT:-off},read-only=$read_only" \
  --blockdev "driver=raw,node-name=disk,file=file,discard=unmap,read-only=$read_only" \
  --export "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=$socket,writable=$writable,num-queues=$queues,logical-block-size=$block_size" \
  </dev/null &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true' TERM INT HUP

for ((i = 0; i < 200; i++)); do
  [ -S "$socket" ] && break
  kill -0 "$daemon" 2>/dev/null || { wait "$daemon" || true; echo "serve-qsd.sh: it did not start" >&2; exit 1; }
  sleep 0.05
done
echo "ready $socket"

# A signal ends the first wait early; the second one is for the daemon's own end.
status=0
wait "$daemon" || status=$?
if kill -0 "$daemon" 2>/dev/null; then
  status=0
  wait "$daemon" || status=$?
fi
rm -f "$socket"
exit $status
