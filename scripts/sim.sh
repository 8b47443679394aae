#!/usr/bin/env bash
# The deterministic simulator: many seeds, or one again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: sim.sh [--seeds N] [--first S] [--failures N]
       sim.sh --seed S

Runs the simulator of docs/simulator.md: guest, rings, session, coroutines and disk on one thread in simulated time.

  --seeds N     so many seeds, a few ms each (default 1000)
  --first S     beginning with this one (default: a new one each time)
  --failures N  stop after so many failed (default 1)
  --seed S      this seed alone, and what happened last in it

exit status: 0, or 1 when a seed failed; each failed seed is printed with the command to replay it
U
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
esac

java_home=$("$here/setup-build.sh")
classpath=$here/../emulator/target/sim.cp
(cd "$here/.." && JAVA_HOME=$java_home mvn -q -B -pl emulator -am -DskipTests package dependency:build-classpath \
  -Dmdep.outputFile=target/sim.cp -Dmdep.includeScope=test) >&2
exec "$java_home/bin/java" -ea -Xmx512m --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
  --add-exports java.base/jdk.internal.vm=ALL-UNNAMED \
  -cp "$here/../emulator/target/test-classes:$here/../emulator/target/classes:$(cat "$classpath")" \
  dev.vublk.emulator.sim.VublkSim "$@"
