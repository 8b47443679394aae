#!/usr/bin/env bash
# Makes the cache with which vublk starts faster.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U2'
usage: aot-cache.sh

Runs vublk for a few seconds on disks that it makes for itself, and keeps the classes that the virtual machine has loaded
and linked in vublk.aot, those of short commands in vublk-tools.aot, and those that compress and write JSON besides in
vublk-codecs.aot, beside the directory of the jars, where the launcher finds it. Classes
of Java 5 cannot be kept: libraries that have them are copied to "updated" there, in the format of Java 8. Run it again after an
update of vublk or of the JDK: what does not fit is ignored.

exit status: 0 made, 1 not (a line says why), 2 wrong arguments
U2
}

case ${1:-} in
  '') ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

fail() {
  echo "aot-cache.sh: $*" >&2
  exit 1
}

for lib in "$here/../lib" "$here/../tools/target/dist/lib"; do
  [ ! -d "$lib" ] || break
done
[ -d "$lib" ] || fail "vublk is not built yet"
cache=$(cd "$lib/.." && pwd)/vublk.aot
updated=${cache%/*}/updated
scratch=$(mktemp -d "${TMPDIR:-/tmp}/vublk-aot.XXXXXX")
server=''
clean_up() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$scratch"
}
trap clean_up EXIT

java_home=$("$here/find-jdk.sh" --jre) || exit 1
rm -rf "${cache%/*}"/vublk*.aot "$updated"
"$java_home/bin/java" -cp "$lib/*" dev.vublk.tools.aot.OldClasses "$lib" "$scratch/updated" >"$scratch/out" 2>&1 \
  || fail "libraries cannot be copied: $(tail -1 "$scratch/out")"
mv "$scratch/updated" "$updated"
touch "$updated"

truncate -s 64M "$scratch/disk.img"
VUBLK_JAVA_OPTS="${VUBLK_JAVA_OPTS:-} -XX:AOTCacheOutput=$scratch/vublk.aot" "$here/vublk" export \
  --disk "image=null:1G,socket=$scratch/null,queues=4" --disk "image=$scratch/disk.img,socket=$scratch/file,queues=4" \
  >"$scratch/out" 2>&1 </dev/null &
server=$!
for ((i = 0; i < 600; i++)); do
  [ "$(grep -c ^ready "$scratch/out")" -lt 2 ] || break
  kill -0 "$server" 2>/dev/null || fail "vublk does not start: $(tail -1 "$scratch/out")"
  sleep 0.05
done
for options in "null --iodepth 1" "null --iodepth 32 --packed" "null --iodepth 8 --event --indirect" \
  "file --rw randverify --iodepth 16" "file --rw randread --iodepth 4 --event --packed"; do
  # shellcheck disable=SC2086 # the options are a list of words
  "$here/vublk" bench --time 0.7 --warmup 0 --socket "$scratch/"$options >"$scratch/bench" 2>&1 \
    || fail "the load failed: $(tail -1 "$scratch/bench")"
done
kill "$server"
wait "$server" || fail "vublk failed: $(tail -1 "$scratch/out")"
server=''
[ -s "$scratch/vublk.aot" ] || fail "this JDK has made no cache: $(tail -1 "$scratch/out")"
mv "$scratch/vublk.aot" "$cache"
echo "$cache"

for name in tools codecs; do
  cache=${cache%/*}/vublk-$name.aot
  mkdir "$scratch/$name"
  VUBLK_MAIN=dev.vublk.tools.aot.TrainingRun VUBLK_JAVA_OPTS="${VUBLK_JAVA_OPTS:-} -XX:AOTCacheOutput=$scratch/vublk-$name.aot" \
    "$here/vublk" "$name" "$scratch/$name" >"$scratch/out" 2>&1 || fail "vublk failed: $(tail -1 "$scratch/out")"
  [ -s "$scratch/vublk-$name.aot" ] || fail "this JDK has made no cache: $(tail -1 "$scratch/out")"
  mv "$scratch/vublk-$name.aot" "$cache"
  echo "$cache"
done
