#!/usr/bin/env bash
# Coverage-guided fuzzing with Jazzer: one target or all, for as long as one likes; or one input again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
targets=(messages session requests splitRing packedRing inflight images qcow2 qcow2Check)
package=dev/vublk/emulator/fuzz

usage() {
  cat <<'U'
usage: fuzz.sh [TARGET|all] [SECONDS]
       fuzz.sh --replay TARGET FILE

Fuzzes what guests, front ends and images can say (docs/fuzzing.md), starting from the corpus in the repository.

  TARGET      messages, session, requests, splitRing, packedRing, inflight, images, qcow2, qcow2Check, or all, one after the other
              (default: all)
  SECONDS     how long to fuzz each target (default: 300)
  --replay    runs one input, for example one that failed, and shows what it does wrong

Findings and new inputs are kept in fuzz-out/TARGET (FUZZ_OUT names another directory); inputs that another run finds there
are used again. An input that is to stay goes to emulator/src/test/resources/dev/vublk/emulator/fuzz/FuzzITInputs/TARGET,
where each build runs it.

exit status: 0 nothing was found, 1 an input failed or the fuzzer could not run, 2 wrong arguments
U
}

fail_usage() {
  echo "fuzz.sh: $1" >&2
  usage >&2
  exit 2
}

is_target() {
  local known
  for known in "${targets[@]}"; do
    [ "$known" != "$1" ] || return 0
  done
  return 1
}

replayed=''
case ${1:-} in
  -h | --help) usage; exit 0 ;;
  --replay)
    [ $# -eq 3 ] || fail_usage "--replay takes a target and a file"
    is_target "$2" || fail_usage "no such target: $2"
    [ -f "$3" ] || fail_usage "no such file: $3"
    chosen=("$2")
    replayed=$(realpath "$3")
    seconds=0
    ;;
  -*) fail_usage "unknown option: $1" ;;
  *)
    [ $# -le 2 ] || fail_usage "too many arguments"
    case ${1:-all} in
      all) chosen=("${targets[@]}") ;;
      *) is_target "$1" || fail_usage "no such target: $1"; chosen=("$1") ;;
    esac
    seconds=${2:-300}
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail_usage "not a number of seconds: $seconds"
    ;;
esac

java_home=$("$here/setup-build.sh")
root=$(cd "$here/.." && pwd)
out=${FUZZ_OUT:-$root/fuzz-out}
(cd "$root" && JAVA_HOME=$java_home mvn -q -B -pl emulator -am -DskipTests package dependency:build-classpath \
  -Dmdep.outputFile=target/fuzz.cp -Dmdep.includeScope=test) >&2

# Runs one target; what libFuzzer says goes to the log.
fuzz() {
  local target=$1 log=$2
  shift 2
  "$java_home/bin/java" -ea -Xmx1g --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
    --add-exports java.base/jdk.internal.vm=ALL-UNNAMED -XX:+EnableDynamicAgentLoading \
    -cp "$root/emulator/target/test-classes:$root/emulator/target/classes:$(cat "$root/emulator/target/fuzz.cp")" \
    com.code_intelligence.jazzer.Jazzer \
    --target_class="dev.vublk.emulator.fuzz.FuzzTargets\$${target^}" \
    '--instrumentation_includes=dev.vublk.vhostuser.**:dev.vublk.blockdev.**:dev.vublk.emulator.**' \
    '--instrumentation_excludes=dev.vublk.emulator.fuzz.**' \
    --custom_hooks=dev.vublk.emulator.fuzz.AccessHooks \
    '--custom_hook_includes=dev.vublk.vhostuser.**:dev.vublk.blockdev.**:dev.vublk.emulator.virtioblk.**' \
    --reproducer_path="$out/$target/findings" "$@" >"$log" 2>&1
}

if [ -n "$replayed" ]; then
  mkdir -p "$out/${chosen[0]}/findings"
  log=$out/${chosen[0]}/replay.log
  if fuzz "${chosen[0]}" "$log" -timeout=20 "$replayed"; then
    echo "${chosen[0]}: $replayed passes"
    exit 0
  fi
  sed -n '/== Java Exception/,/^DEDUP_TOKEN/p; /ERROR: libFuzzer/,$p' "$log"
  echo "FAILED: ${chosen[0]}: $replayed fails; all that was said: $log"
  exit 1
fi

found=0
for target in "${chosen[@]}"; do
  mkdir -p "$out/$target/corpus" "$out/$target/findings"
  log=$out/$target/log
  status=0
  fuzz "$target" "$log" -artifact_prefix="$out/$target/findings/" -max_total_time="$seconds" -timeout=20 \
    -max_len=2048 -len_control=0 -rss_limit_mb=4096 -print_final_stats=1 \
    "$out/$target/corpus" "$root/emulator/src/test/resources/$package/FuzzITInputs/$target" || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  echo "$target: ${executions:-no} executions, coverage ${coverage:-unknown}, $(if [ $status -eq 0 ]; then echo 'nothing found'; else echo FAILED; fi)"
  [ $status -ne 0 ] || continue
  found=1
  sed -n 's/^== Java Exception: /  /p; s/.*ERROR: libFuzzer: /  /p' "$log" | head -n 3
  input=$(sed -n 's/.*Test unit written to //p' "$log" | head -n 1)
  if [ -n "$input" ]; then
    echo "  replay: scripts/fuzz.sh --replay $target $input"
  else
    echo "  the fuzzer ended with status $status; see $log"
  fi
done
if [ $found -ne 0 ]; then
  echo "FAILED: see above"
  exit 1
fi
echo "nothing found; new inputs are in $out"
