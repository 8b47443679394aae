#!/bin/sh
# load-module NAME : loads a kernel module and those it needs from MODULE_DIR (there is no modprobe.conf, and the
# directory is not where modprobe looks). Succeeds for modules that are built in or loaded already.
set -eu
name=$1

is_loaded() { [ -d "/sys/module/$(basename "${1%%.ko*}" | tr - _)" ]; }

# Debian 13's modules are compressed.
insert() {
  if is_loaded "$1"; then
    return
  fi
  case $1 in
    *.xz) xz -dc "$1" >/tmp/module.ko && busybox insmod /tmp/module.ko ;;
    *) busybox insmod "$1" ;;
  esac
}

if is_loaded "$name" || grep -q "/$name\.ko" "$MODULE_DIR/modules.builtin"; then
  exit 0
fi
line=$(grep -E "(^|/)$name\.ko(\.xz)?:" "$MODULE_DIR/modules.dep") || {
  echo "load-module: the guest's kernel has no module $name" >&2
  exit 1
}
# "a.ko: b.ko c.ko": a needs b needs c.
reversed=
for file in $(echo "$line" | tr -d :); do
  reversed="$file $reversed"
done
for file in $reversed; do
  insert "$MODULE_DIR/$file"
done
