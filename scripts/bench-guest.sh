#!/usr/bin/env bash
# fio in real guests, vublk beside qemu-storage-daemon. --help tells the options.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/bench.sh" guest "$@"
