#!/usr/bin/env bash
# Plugs vhost-user-blk disks into a running QEMU guest, and out of it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/guest/paths.sh
. "$here/paths.sh"

usage() {
  cat <<'U'
usage: hotplug.sh unplug QMP DISK
       hotplug.sh plug QMP DISK SOCK PORT [device properties]

QMP is the socket that qemu-run.sh was given as GUEST_QMP, DISK a name like disk0, SOCK a vhost-user-blk back end,
PORT a free PCIe port: that of an unplugged disk, or port<n> for a guest started with n disks.
unplug returns when the guest has let the disk go and QEMU has closed the connection.

environment: GUEST_RECONNECT=1  as in qemu-run.sh
exit status: 0, 1 QEMU refused or the guest did not answer within 20 s, 2 wrong arguments or no QEMU at QMP
U
}

case "${1:-} $#" in
  "-h "* | "--help "*)
    usage
    ;;
  "unplug 3")
    "$here/qmp.pl" "$2" "device_del $3" "event:DEVICE_DELETED:\"device\": \"$3\"" >/dev/null
    # The device is freed a moment after the event.
    for ((i = 0; i < 50; i++)); do
      "$here/qmp.pl" "$2" "chardev-remove $3.socket" >/dev/null 2>&1 && exit 0
      sleep 0.1
    done
    echo "hotplug.sh: QEMU still uses $3.socket" >&2
    exit 1
    ;;
  "plug 5" | "plug 6")
    [ -S "$4" ] || { echo "hotplug.sh: no socket at $4: is the back end running?" >&2; exit 1; }
    # ",reconnect=1" becomes ,"reconnect":1. The monitor's own chardev-add refuses names from QEMU's command line.
    reconnect=$(reconnect_option "${GUEST_RECONNECT:-1}" | sed 's/,\(.*\)=\(.*\)/,"\1":\2/')
    address='{"type":"unix","data":{"path":"'$(realpath "$4")'"}}'
    backend='{"type":"socket","data":{"addr":'$address',"server":false'$reconnect'}}'
    "$here/qmp.pl" "$2" \
      '{"execute":"chardev-add","arguments":{"id":"'"$3"'.socket","backend":'"$backend"'}}' \
      "device_add vhost-user-blk-pci,id=$3,bus=$5,chardev=$3.socket${6:+,$6}" >/dev/null
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
