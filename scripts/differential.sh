#!/usr/bin/env bash
# The same random requests through vublk, through qemu-storage-daemon and through a model in memory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: differential.sh [ROUNDS [SEED]]

Runs random requests (reads, writes, flushes, discards, zeroes, ids, unknown, misaligned and out-of-range ones; up to 32 in
flight on three queues) through vublk on split and on packed rings, through qemu-storage-daemon where it is installed, and
through a model, and compares statuses, used lengths, bytes read, and in the end the images. docs/fuzzing.md lists the
differences that QEMU is permitted.

  ROUNDS  of about 15 requests each (default: 10000; about 700 take a second)
  SEED    the requests to make (default: new ones); it is printed

exit status: 0 no difference, 1 a difference, or it could not run; 2 wrong arguments
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac
for argument; do
  if ! [[ $argument =~ ^-?[0-9]+$ ]] || [ $# -gt 2 ]; then
    usage >&2
    exit 2
  fi
done

java_home=$("$here/setup-build.sh")
classpath=$here/../emulator/target/sim.cp
(cd "$here/.." && JAVA_HOME=$java_home mvn -q -B -pl emulator -am -DskipTests package dependency:build-classpath \
  -Dmdep.outputFile=target/sim.cp -Dmdep.includeScope=test) >&2
exec "$java_home/bin/java" -ea -Xmx512m --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
  --add-exports java.base/jdk.internal.vm=ALL-UNNAMED \
  -cp "$here/../emulator/target/test-classes:$here/../emulator/target/classes:$(cat "$classpath")" \
  dev.vublk.emulator.differential.Differential "$@"
