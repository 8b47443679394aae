# What uml-run.sh, qemu-run.sh, migrate-run.sh and seabios-boot.sh have in common. Sourced by them; they set here (the directory of the scripts), limit
# (seconds) and guest (a process id).
# shellcheck shell=bash disable=SC2154
#
#   run directory ($run), seen by the guest as /run/rig:
#     script              what the guest runs
#     lib.sh, bench.sh    for scripts to source
#     go, load-module     guest-go.sh, guest-load-module.sh
#     config              shell variables for them
#     status              written by the guest: the exit status of script
#     console             everything the guest prints
#     timeout             there when the time limit was reached

# shellcheck source=scripts/guest/paths.sh
. "$here/paths.sh"

name=$(basename "$0")

complain() {
  printf '%s: %s\n' "$name" "$*" >&2
}

# 125 is also what a guest that died gives: in both cases SCRIPT's result is not known.
die() {
  complain "$@"
  exit 125
}

need_script() {
  [ -r "$1" ] || die "cannot read the script $1"
}

need_command() {
  local command
  for command; do
    command -v "$command" >/dev/null || die "$command is missing: run scripts/guest/setup.sh"
  done
}

need_file() {
  [ -e "$1" ] || die "$1 is missing: run scripts/guest/setup.sh"
}

need_number() {
  case $2 in
    '' | *[!0-9]*) die "$1 must be a number, not '$2'" ;;
  esac
}

# Single quotes are understood by every shell.
quote() {
  printf "'%s'" "${1//\'/\'\\\'\'}"
}

# Fills the array sockets from "SOCK,SOCK2", or leaves it empty for "none".
read_sockets() {
  sockets=()
  [ "$1" = none ] && return
  local socket
  IFS=, read -r -a sockets <<<"$1"
  for socket in "${sockets[@]}"; do
    [ -S "$socket" ] || die "no socket at $socket: is the back end running?"
  done
  # The guests' paths are relative to their own working directory.
  mapfile -t sockets < <(realpath "${sockets[@]}")
}

# Makes the directory $run and starts the reaper (descriptor 9), which also keeps the time limit.
start_rig() {
  run=$(mktemp -d "${TMPDIR:-/tmp}/vublk-guest.XXXXXX")
  exec 9> >(exec setsid bash "$here/reaper.sh" "$run" "$limit" >/dev/null 2>&1)
  reaper=$!
  trap end_guest EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  : >"$run/console"
}

# Reads GUEST_RINGS into $rings.
read_rings() {
  rings=${GUEST_RINGS:-}
  case $rings in
    '' | packed | split) ;;
    *) die "GUEST_RINGS must be packed or split, not '$rings'" ;;
  esac
}

# put_script SCRIPT: puts what every guest needs into $run.
put_script() {
  cp "$1" "$run/script"
  cp "$here/tests/lib.sh" "$here/tests/bench.sh" "$run/"
  install -m 755 "$here/guest-go.sh" "$run/go"
  install -m 755 "$here/guest-load-module.sh" "$run/load-module"
  {
    echo "DISK_COUNT=${#sockets[@]}"
    echo "MODULES=$(quote "${GUEST_MODULES:-}")"
    echo "GUEST_ENV=$(quote "${GUEST_ENV:-}")"
    echo "LOAD_VIRTIO_BLK=${GUEST_VIRTIO_BLK:-1}"
    echo "RINGS=$rings"
  } >"$run/config"
}

# Starts a command in a process group of its own, which the reaper knows before the command runs; sets $spawned.
spawn() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid sh -c 'echo $$ >&9; exec 9>&-; exec "$@"' sh "$@" &
  spawned=$!
}

# Prints what the script in the guest prints, as it comes: the console's lines between the marks of guest-go.sh.
# A guest that boots again prints @@BEGIN@@ again.
follow_console() {
  # shellcheck disable=SC2016
  spawn bash -c 'tail -n +1 -s 0.1 --pid="$1" -f "$2" | sed -u -n -e "s/\r*\$//" \
    -e "/^@@BEGIN@@\$/,/@@END@@\$/ { /^@@BEGIN@@\$/d; /^@@END@@\$/d; s/@@END@@\$//; p; }"' \
    follow "$guest" "$run/console"
  follower=$spawned
}

# Waits for the process $guest and exits with the script's status.
wait_for_guest() {
  local status=0
  { wait "$guest" || status=$?; } 2>/dev/null # bash would report a killed job
  wait "$follower" || true
  # What QEMU itself has to say; UML says it on the console.
  [ ! -s "$run/qemu.log" ] || cat "$run/qemu.log" >&2
  if [ -n "${GUEST_LOG:-}" ]; then
    cp "$run/console" "$GUEST_LOG"
  fi
  if [ -s "$run/status" ]; then
    exit "$(cat "$run/status")"
  fi
  if [ -e "$run/timeout" ]; then
    complain "time limit of $limit s reached; the console's last lines:"
    tail -n 15 "$run/console" >&2
    exit 124
  fi
  complain "the guest died (status $status); the console's last lines:"
  tail -n 15 "$run/console" >&2
  exit 125
}

# Closing the pipe makes the reaper kill what is left of the guest and remove the run directory.
end_guest() {
  exec 9>&-
  wait "$reaper" || true
}

# Debian's kernel for QEMU guests: sets $kernel, $kernel_version, $modules.
find_kernel() {
  kernel=$VUBLK_GUEST_DIR/kernel
  kernel_version=$(basename "$kernel"/lib/modules/*)
  modules=$kernel/lib/modules/$kernel_version
}

# module_files NAME...: the modules' files with those they need, each after what it needs.
module_files() {
  awk -F': *' -v wanted="$*" '
    { files[$1] = $2; name = $1; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); path[name] = $1 }
    function add(file,   parts, count, i) {
      count = split(files[file], parts, " ")
      for (i = count; i > 0; i--) if (!(parts[i] in done)) add(parts[i])
      if (!(file in done)) { done[file] = 1; print file }
    }
    END { count = split(wanted, names, " "); for (n = 1; n <= count; n++) if (names[n] in path) add(path[names[n]]) }
  ' "$modules/modules.dep"
}

# copy_modules DIRECTORY NAME...: copies modules with those they need; sets $boot_modules, in the order of loading.
copy_modules() {
  local directory=$1 file module
  shift
  boot_modules=
  while read -r file; do
    module=$(basename "${file%%.ko*}")
    boot_modules+="$module "
    case $file in
      *.xz) xz -dc "$modules/$file" >"$directory/$module.ko" ;;
      *) cp "$modules/$file" "$directory/" ;;
    esac
  done < <(module_files "$@")
}
