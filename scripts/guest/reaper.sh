#!/usr/bin/env bash
# usage: reaper.sh RUN_DIR LIMIT_SECONDS, with a pipe on standard input; started by rig.sh
#
# Cleans up after a guest, whatever ends the script that started it (SIGKILL too): that script holds the other end of
# the pipe, and nobody else does. Each line read is the id of a process group of the guest. At the end of file the
# groups are killed and RUN_DIR is removed. At the time limit the groups are killed and RUN_DIR/timeout appears.
# Runs in a session of its own, so that signals meant for the terminal's or the test's process group miss it.
set -euo pipefail
run=$1 limit=$2

groups=()

kill_groups() {
  local group
  for group in "${groups[@]}"; do
    kill -KILL -- "-$group" 2>/dev/null || true
  done
}

deadline=$((SECONDS + limit))
while :; do
  left=$((deadline - SECONDS))
  if [ $left -le 0 ]; then
    touch "$run/timeout"
    kill_groups
    cat >/dev/null
    break
  fi
  status=0
  IFS= read -r -t "$left" group || status=$?
  if [ $status -eq 0 ]; then
    groups+=("$group")
  elif [ $status -le 128 ]; then
    break # end of file; above 128 it was the time
  fi
done
kill_groups
rm -rf "$run"
