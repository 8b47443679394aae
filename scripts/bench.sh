#!/usr/bin/env bash
# Measurements that the project's claims rest on: repeated, interleaved, medians.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'U'
usage: bench.sh polling [option...]
       bench.sh fairness [option...]
       bench.sh compare [option...]
       bench.sh profile [option...]
       bench.sh guest [option...]
       bench.sh startup [option...]
       bench.sh flags [option...]
       bench.sh memory [option...]
       bench.sh jmh [option...]
       bench.sh gc [option...]
       bench.sh coroutine-pool [option...]
       bench.sh coroutine-pool --piece [MILLISECONDS]
       bench.sh worker-pool [ROUNDS]
       bench.sh codec [ROUNDS [REPORT [PLOTS]]]
       bench.sh l2-lookup
       bench.sh convert [option...]

polling: one active disk at depth 1 while 0, 10 and 100 idle disks of 32 queues each share its IOThread, for each way of
         waiting (--fd-monitor), with polling and without, with a client that polls and one that sleeps; and the CPU time
         of the back end while 100 connected disks are idle. Each idle queue has been used once.
fairness: two null disks on one IOThread: equally loaded, and one at depth 1 beside one that is flooded at depth 256: IOPS
         and latencies, alone and together.
compare: vublk beside qemu-storage-daemon: a null disk, a file on tmpfs and one on a disk with O_DIRECT (there beside fio as
         well), 4k to 1m, depths 1 to 64: IOPS, latencies, CPU time, context switches, system calls, memory; its options:
         compare --help. Needs qemu-storage-daemon and fio (scripts/guest/setup.sh), perf for --syscalls.
profile: what the time of an IOThread goes into, as a flame graph, and its system calls per request; its options:
         profile --help. Needs perf, as root.
guest:   the same by fio inside real guests, with a disk of each; its options: guest --help (scripts/bench-guest.sh)
startup: from the start of vublk to the first requests served and to full speed, with and without an AOT cache; its options:
         startup --help
flags:   vublk with other flags of the virtual machine (collectors, heaps, compilers, object headers) beside its own, in turn:
         speed, memory, start; its options: flags --help
memory:  of one disk, under load, and of each further idle disk; its options: memory --help
jmh:     the pieces of a request's way, each with the bytes that it allocates; its options: jmh --help
gc:      whether the back end collects garbage at full load: a file on tmpfs, and a null disk, at depth 64, and
         what a request allocates. Exit status 1 when there was a collection after the warm-up. Needs a JDK (jstat, jcmd).

coroutine-pool: designs of a coroutine pool (none, fixed, unbounded and resized, ours) under the whole path: 1024 requests
         outstanding, depths 1 to 64, uneven load on two IOThreads, the heap around a spike; its options: coroutine-pool
         --help. --piece: the designs alone, without a disk: creations, bytes, CPU time.
l2-lookup: what it costs to find a cluster of a qcow2 image whose tables are in memory: time and bytes allocated.
worker-pool: bursts of 64 and 512 blocking calls on a cold pool: how long the submitting loop is held up, beside a pool that
         spawns in the submitter and beside ThreadPoolExecutor.
codec:   the lock-free codec engine beside a pool with one lock and one request a worker, 1 to 8 workers: throughput, context
         switches, CPU time of each worker, busy rate. REPORT is a file for the tables, PLOTS a directory for pictures.

  --rounds N        rounds; what is compared follows each other within a round (default 3)
  --time SECONDS    each measurement (default 1; gc: 60)
  --warmup SECONDS  before each measurement (default 1; gc: 10)
  --out FILE        write the tables to FILE as well, as Markdown
polling only:
  --monitors LIST   such as io_uring,epoll,poll (default all three)
  --polls LIST      values of --poll-max-ns; "default" for vublk's own; "naive" for that of a program that never takes an
                    idle queue off its list (default default,0,naive)
  --clients LIST    poll,event (default both)
  --idle LIST       numbers of idle disks, the first one being what the ratio refers to (default 0,10,100)
  --settle SECONDS  after the idle disks have connected; vublk looks at a queue for 7 s before it counts as idle (default 8)
  --spinners on|off a loop of idle priority on each processor (default on): a virtual processor that has gone to sleep takes
                    up to 100 us to wake, which would be all that is measured where the back end sleeps
  --idle-time S     over which the CPU time of idle disks is taken (default 5; 0: not at all)
gc only:
  --depths LIST     (default 64)
  --disks LIST      null,file (default both)

environment: VUBLK_OPTS   more options for vublk export, such as --iothread-cpus 0
             CLIENT       a command before the client, such as "taskset -c 1"
             BUILD=no     do not build again what the last such measurement has built
exit status: 0 all measured, 1 something failed or gc found a collection (a line says what), 2 wrong arguments
U
}

fail() {
  echo "bench.sh: $*" >&2
  exit 1
}

wrong() {
  echo "bench.sh: $*" >&2
  echo "Try 'bench.sh --help'." >&2
  exit 2
}

# run_class CLASS ARGUMENT...: a measurement of a piece, a class among the tests; replaces this shell.
run_class() {
  local java_home classpath=$here/../tools/target/bench.cp
  java_home=$("$here/setup-build.sh")
  if [ "${BUILD:-yes}" != no ] || [ ! -r "$classpath" ]; then
    (cd "$here/.." && JAVA_HOME=$java_home mvn -q -B -pl tools -am -DskipTests package dependency:build-classpath \
      -Dmdep.outputFile=target/bench.cp -Dmdep.includeScope=test) || fail "the build failed"
  fi
  if [ -n "$needs_aot_cache" ]; then
    "$here/aot-cache.sh" >/dev/null || exit 1
  fi
  exec "$java_home/bin/java" "-Dvublk.launcher=$here/vublk" --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
    --add-exports java.base/jdk.internal.vm=ALL-UNNAMED \
    -Dslf4j.internal.verbosity=ERROR -cp "$here/../tools/target/test-classes:$here/../tools/target/classes:$(cat "$classpath")" "$@"
}

needs_aot_cache=''
case ${1:-} in
  polling | fairness | gc) experiment=$1 ;;
  compare)
    shift
    run_class dev.vublk.tools.bench.Comparison "$@"
    ;;
  guest | memory | jmh | startup | profile | flags)
    case $1 in
      guest) class=GuestComparison ;;
      memory) class=MemoryBench ;;
      jmh) class=PiecesBench ;;
      profile) class=ProfileBench ;;
      startup | flags)
        class=StartupBench
        [ "$1" = startup ] || class=FlagsBench
        [ "${2:-}" = --help ] || needs_aot_cache=yes
        ;;
    esac
    shift
    run_class "dev.vublk.tools.bench.$class" "$@"
    ;;
  coroutine-pool)
    [ "${2:-}" != --piece ] || run_class dev.vublk.tools.bench.CoroutinePoolBench "${3:-400}"
    shift
    run_class dev.vublk.tools.bench.CoroutinePoolExperiment "$@"
    ;;
  convert)
    shift
    exec "$here/bench-convert.sh" "$@"
    ;;
  l2-lookup) run_class dev.vublk.blockdev.qcow2.L2LookupBench ;;
  worker-pool) run_class dev.vublk.tools.bench.WorkerBurstBench "${2:-20}" ;;
  codec)
    shift
    run_class dev.vublk.tools.bench.CodecExperiment "$@"
    ;;
  -h | --help) usage; exit 0 ;;
  '') wrong "which measurement: polling, fairness, compare, profile, guest, startup, flags, memory, jmh, gc, coroutine-pool, worker-pool, codec, l2-lookup or convert?" ;;
  *) wrong "'$1' is no measurement: polling, fairness, compare, profile, guest, startup, flags, memory, jmh, gc, coroutine-pool, worker-pool, codec, l2-lookup or convert" ;;
esac
shift
rounds=3 time=1 warmup=1 out='' monitors=io_uring,epoll,poll polls=default,0,naive clients=poll,event idle=0,10,100 settle=8
idle_time=5 spinners=on depths=64 disks=null,file
[ "$experiment" != gc ] || time=60 warmup=10
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --rounds | --time | --warmup | --out | --monitors | --polls | --clients | --idle | --settle | --idle-time | --spinners | --depths | --disks)
      [ $# -ge 2 ] || wrong "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift 2
      ;;
    *) wrong "unknown option $1" ;;
  esac
done
is_number() {
  [[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]]
}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || wrong "--rounds $rounds is no number from 1"
for name in time warmup settle idle_time; do
  is_number "${!name}" || wrong "--${name//_/-} ${!name} is no number of seconds"
done
[[ $idle =~ ^[0-9]+(,[0-9]+)*$ ]] || wrong "--idle $idle is no list of numbers"
[[ $depths =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || wrong "--depths $depths is no list of numbers"
# check_list OPTION VALUE WORD...
check_list() {
  local option=$1 each
  local -a given
  IFS=, read -ra given <<<"$2"
  shift 2
  for each in "${given[@]}"; do
    [[ " $* " == *" $each "* ]] || wrong "$option: '$each' is none of: $*"
  done
}
check_list --monitors "$monitors" io_uring epoll poll
check_list --clients "$clients" poll event
check_list --disks "$disks" null file
check_list --spinners "$spinners" on off
if [ -n "$out" ] && ! : >"$out"; then
  fail "cannot write $out"
fi

directory=$(mktemp -d "${TMPDIR:-/tmp}/vublk-bench.XXXXXX")
result=$directory/result
tmpfs_image=''
pids=()
clean_up() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]}"; do
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$directory"
  [ -z "$tmpfs_image" ] || rm -f "$tmpfs_image"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$here/vublk" --version >/dev/null || fail "vublk does not run"

# start NAME PATTERN COMMAND...: runs it in the background until its output has the pattern; its process id is in $started.
start() {
  local name=$1 pattern=$2 i
  shift 2
  : >"$directory/$name.out" # What one of that name has said before does not count.
  "$@" >"$directory/$name.out" 2>"$directory/$name.err" </dev/null &
  started=$!
  pids+=("$started")
  for ((i = 0; i < 600; i++)); do
    if grep -q -- "$pattern" "$directory/$name.out"; then
      return
    fi
    kill -0 "$started" 2>/dev/null || fail "$name did not start: $(tail -1 "$directory/$name.err")"
    sleep 0.1
  done
  fail "$name is not ready after 60 s: $(tail -1 "$directory/$name.err")"
}

# end PID: SIGTERM, and waits.
end() {
  local pid left=()
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
  for pid in "${pids[@]}"; do
    [ "$pid" = "$1" ] || left+=("$pid")
  done
  pids=("${left[@]}")
}

# measure SOCKET PID OPTION...: the fields of the result are in $result.
measure() {
  local socket=$1 pid=$2
  shift 2
  # shellcheck disable=SC2086 # CLIENT is a list of words.
  ${CLIENT:-} "$here/vublk" bench --json --socket "$socket" --backend-pid "$pid" --time "$time" --warmup "$warmup" "$@" \
    >"$result" 2>"$result.err" || fail "the client failed: $(tail -1 "$result.err")"
}

field() {
  sed -n "s/^ *\"$1\" : \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$result"
}

# cpu_ticks PID: user and system time of the process, in hundredths of a second.
cpu_ticks() {
  sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# median FILE KEY: of the values behind a key, one in a line.
median() {
  awk -v key="$2" '$1 == key { print $2 }' "$1" | sort -g \
    | awk '{ v[NR] = $1 } END { if (NR == 0) print "-"; else print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

# ratio A B, two decimals.
ratio() {
  awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0 == 0) print "-"; else printf "%.2f", a / b }'
}

thousands() {
  awk -v v="$1" 'BEGIN { if (v == "-") print v; else printf "%.1fk", v / 1000 }'
}

say() {
  printf '%s\n' "$*" >&2
}

# report LINE...: to standard output and --out.
report() {
  printf '%s\n' "$@"
  [ -z "$out" ] || printf '%s\n' "$@" >>"$out"
}

machine() {
  report "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors, Linux $(uname -r);" \
    "$rounds rounds, each measurement $time s after $warmup s of warm-up; medians." ""
}

# ---- polling

# Keeps every processor awake, at a priority at which it takes no time from anybody.
start_spinners() {
  local cpu
  [ "$spinners" = on ] || return 0
  for ((cpu = 0; cpu < $(nproc); cpu++)); do
    taskset -c "$cpu" chrt --idle 0 bash -c 'while :; do :; done' &
    pids+=("$!")
  done
}

run_polling() {
  local round monitor poll client count values key most=0 i server waiters order number
  IFS=, read -ra monitor_list <<<"$monitors"
  IFS=, read -ra poll_list <<<"$polls"
  IFS=, read -ra client_list <<<"$clients"
  IFS=, read -ra idle_list <<<"$idle"
  for count in "${idle_list[@]}"; do
    [ "$count" -le "$most" ] || most=$count
  done
  # Three eventfds a queue, and some more.
  [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge $((most * 97 + 500)) ] \
    || fail "$most idle disks need $((most * 97 + 500)) open files, and the hard limit is $(ulimit -Hn): raise it (ulimit -Hn)"
  ulimit -Sn "$(ulimit -Hn)"
  values=$directory/values
  : >"$values"
  local -a exports=(--disk "image=null:1G,socket=$directory/active")
  for ((i = 0; i < most; i++)); do
    exports+=(--disk "image=null:1G,socket=$directory/idle$i")
  done
  start_spinners
  # Where the two run decides what a wake-up costs: 3 us on one processor, 20 us from one to another, and changes as it likes.
  local -a pinned=()
  if [ "$(nproc)" -ge 2 ]; then
    pinned=(--iothread-cpus 0)
    CLIENT=${CLIENT:-taskset -c 1}
  fi
  for ((round = 1; round <= rounds; round++)); do
    for monitor in "${monitor_list[@]}"; do
      for poll in "${poll_list[@]}"; do
        local -a options=(--queues 32 --fd-monitor "$monitor" "${pinned[@]}")
        case $poll in
          default) ;;
          naive) options+=(--poll-idle-ms 86400000) ;;
          *) options+=(--poll-max-ns "$poll") ;;
        esac
        # shellcheck disable=SC2086 # VUBLK_OPTS is a list of words.
        start "vublk" "^ready.*active (" "$here/vublk" export "${options[@]}" ${VUBLK_OPTS:-} "${exports[@]}"
        server=$started
        measure "$directory/active" "$server" # Only that everything is compiled.
        order=("${idle_list[@]}")
        if [ $((round % 2)) -eq 0 ]; then # The other way round, so that no number always comes first.
          order=()
          for count in "${idle_list[@]}"; do
            order=("$count" "${order[@]}")
          done
        fi
        for count in "${order[@]}"; do
          waiters=''
          if [ "$count" -gt 0 ]; then
            local -a sockets=()
            for ((i = 0; i < count; i++)); do
              sockets+=(--socket "$directory/idle$i")
            done
            start "idle-disks" "^connected" "$here/vublk" bench --connect-only "${sockets[@]}"
            waiters=$started
            [ "$poll" != default ] || sleep "$settle"
          fi
          for client in "${client_list[@]}"; do
            measure "$directory/active" "$server" "--$client"
            number=$(field iops)
            key=$monitor/$poll/$client/$count
            echo "$key $number" >>"$values"
            say "round $round: $monitor, poll-max-ns $poll, client $client, $count idle disks: $(thousands "$number") IOPS," \
              "p50 $(field latency-p50) us, p99 $(field latency-p99) us"
          done
          if [ "$count" -eq "$most" ] && [ "$idle_time" != 0 ]; then
            sleep 1
            number=$(cpu_ticks "$server")
            sleep "$idle_time"
            number=$(($(cpu_ticks "$server") - number))
            echo "$monitor/$poll/idle-ticks $number" >>"$values"
            say "round $round: $monitor, poll-max-ns $poll, $count idle disks: $number ticks in $idle_time s"
          fi
          [ -z "$waiters" ] || end "$waiters"
        done
        end "$server"
      done
    done
  done

  report "## One disk at depth 1 beside idle disks of 32 queues on one IOThread" ""
  machine
  local head="| monitor | poll-max-ns | client |" rule="|---|---|---|" line base
  for count in "${idle_list[@]}"; do
    head+=" $count idle: IOPS | ratio |" rule+="---|---|"
  done
  head+=" ticks in $idle_time s, $most idle |" rule+="---|"
  report "$head" "$rule"
  for monitor in "${monitor_list[@]}"; do
    for poll in "${poll_list[@]}"; do
      for client in "${client_list[@]}"; do
        line="| $monitor | $poll | $client |"
        base=$(median "$values" "$monitor/$poll/$client/${idle_list[0]}")
        for count in "${idle_list[@]}"; do
          number=$(median "$values" "$monitor/$poll/$client/$count")
          line+=" $(thousands "$number") | $(ratio "$number" "$base") |"
        done
        report "$line $(median "$values" "$monitor/$poll/idle-ticks") |"
      done
    done
  done
}

# ---- fairness

# together NAME OPTION... -- NAME OPTION...: two clients at the same time, on the sockets of those names; results in files.
together() {
  local -a first=() second=()
  local name=$1 other pid long
  shift
  while [ "$1" != -- ]; do
    first+=("$1")
    shift
  done
  shift
  other=$1
  shift
  second=("$@")
  # The flood goes on while the other one measures.
  long=$(awk -v t="$time" -v w="$warmup" 'BEGIN { print t + w + 1 }')
  result=$directory/second time=$long warmup=0 measure "$directory/$other" "$server" "${second[@]}" &
  pid=$!
  # Connected is as good as measuring: the first one has its own start before it.
  until [ "$(grep -c " $directory/$other\$" /proc/net/unix)" -ge 2 ]; do # the listening socket and the connection
    kill -0 "$pid" 2>/dev/null || fail "the second client failed"
    sleep 0.05
  done
  measure "$directory/$name" "$server" "${first[@]}"
  wait "$pid" || fail "the second client failed"
}

run_fairness() {
  local round values key server number case
  values=$directory/values
  : >"$values"
  # shellcheck disable=SC2086 # VUBLK_OPTS is a list of words.
  start vublk "^ready.*two (" "$here/vublk" export --queues 4 ${VUBLK_OPTS:-} \
    --disk "image=null:1G,socket=$directory/one" --disk "image=null:1G,socket=$directory/two"
  server=$started
  local -a small=(--event --iodepth 1) flood=(--event --iodepth 64 --queues 4) equal=(--event --iodepth 32)
  measure "$directory/one" "$server" "${small[@]}" # Only that everything is compiled.
  measure "$directory/two" "$server" "${flood[@]}"
  keep() {
    printf '%s %s\n' "$1-iops" "$(field iops)" "$1-p50" "$(field latency-p50)" "$1-p99" "$(field latency-p99)" >>"$values"
    say "round $round: $1: $(thousands "$(field iops)") IOPS, p50 $(field latency-p50) us, p99 $(field latency-p99) us"
  }
  for ((round = 1; round <= rounds; round++)); do
    measure "$directory/one" "$server" "${small[@]}"
    keep "depth 1, alone"
    measure "$directory/two" "$server" "${flood[@]}"
    keep "depth 256, alone"
    together one "${small[@]}" -- two "${flood[@]}"
    keep "depth 1, beside depth 256"
    cp "$directory/second" "$result"
    keep "depth 256, beside depth 1"
    together one "${equal[@]}" -- two "${equal[@]}"
    keep "depth 32, first of two"
    cp "$directory/second" "$result"
    keep "depth 32, second of two"
  done
  end "$server"
  report "## Two null disks on one IOThread, clients that sleep" ""
  machine
  report "| disk | IOPS | p50 us | p99 us |" "|---|---|---|---|"
  for case in "depth 1, alone" "depth 256, alone" "depth 1, beside depth 256" "depth 256, beside depth 1" \
    "depth 32, first of two" "depth 32, second of two"; do
    key=${case// /_}
    sed -i "s/^$case-/$key-/" "$values"
    report "| $case | $(thousands "$(median "$values" "$key-iops")") | $(median "$values" "$key-p50") | $(median "$values" "$key-p99") |"
  done
}

# ---- gc

# eden PID: bytes allocated since the last collection.
eden() {
  "$jdk/bin/jstat" -gc "$1" | awk 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "EU") column = i } NR == 2 { printf "%d", $column * 1024 }'
}

run_gc() {
  local disk depth image pid log before collections allocated requests seconds found=0
  jdk=$("$here/find-jdk.sh") || fail "gc needs a JDK"
  [[ $time =~ ^[0-9]+$ ]] || wrong "gc: --time $time is no whole number of seconds"
  IFS=, read -ra disk_list <<<"$disks"
  IFS=, read -ra depth_list <<<"$depths"
  report "## Collections at full load, 4k random reads" "" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) processors, Linux $(uname -r); $time s after $warmup s of warm-up." "" \
    "| disk | depth | IOPS | collections | bytes allocated | bytes a request |" "|---|---|---|---|---|---|"
  for disk in "${disk_list[@]}"; do
    image=null:1G
    if [ "$disk" = file ]; then
      [ -d /dev/shm ] || fail "there is no tmpfs at /dev/shm"
      tmpfs_image=$(mktemp /dev/shm/vublk-bench.XXXXXX)
      dd if=/dev/urandom of="$tmpfs_image" bs=1M count=256 status=none || fail "/dev/shm has no room for 256 MiB"
      image=$tmpfs_image
    fi
    log=$directory/gc-$disk.log
    # shellcheck disable=SC2086 # VUBLK_OPTS is a list of words.
    VUBLK_JAVA_OPTS="${VUBLK_JAVA_OPTS:-} -Xlog:gc:file=$log" start vublk "^ready" "$here/vublk" export "$image" \
      --socket "$directory/vublk.sock" --engine "$([ "$disk" = file ] && echo io_uring || echo auto)" ${VUBLK_OPTS:-}
    pid=$started
    for depth in "${depth_list[@]}"; do
      seconds=$time time=$warmup warmup=0
      measure "$directory/vublk.sock" "$pid" --iodepth "$depth"
      warmup=$time time=$seconds
      # What the warm-up left must not be what fills the heap.
      "$jdk/bin/jcmd" "$pid" GC.run >"$directory/jcmd.out" 2>&1 || fail "jcmd: $(tail -1 "$directory/jcmd.out")"
      before=$(grep -c Pause "$log" || true)
      allocated=$(eden "$pid")
      seconds=$warmup warmup=0
      measure "$directory/vublk.sock" "$pid" --iodepth "$depth"
      warmup=$seconds
      collections=$(($(grep -c Pause "$log" || true) - before))
      allocated=$(($(eden "$pid") - allocated))
      [ "$collections" -eq 0 ] || allocated=- found=1
      requests=$(awk -v iops="$(field iops)" -v time="$time" 'BEGIN { printf "%.0f", iops * time }')
      report "| $disk | $depth | $(thousands "$(field iops)") | $collections | $allocated | $(awk -v b="$allocated" -v n="$requests" \
        'BEGIN { if (b == "-") print b; else printf "%.4f", b / n }') |"
    done
    end "$pid"
    rm -f "$directory/vublk.sock"
  done
  [ "$found" -eq 0 ] || fail "garbage was collected"
}

"run_$experiment"
