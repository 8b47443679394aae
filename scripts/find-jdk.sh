#!/bin/sh
# Finds a Java installation that is new enough, without starting one: the launcher pays for this on every start.
# Executed, it prints the JAVA_HOME; sourced, it only defines find_jdk.

find_jdk_usage() {
  cat <<'U'
usage: find-jdk.sh [--jre] [VERSION]

Prints the home directory of a JDK of at least VERSION (default 25), looking at JAVA_HOME, then java on the PATH,
then the usual places (/usr/lib/jvm, /opt, SDKMAN), where the lowest version that is new enough is taken.
--jre: a home with only bin/java is enough, bin/javac is not needed.

exit status: 0 found, 1 none found (a line says so), 2 wrong arguments
U
}

# Sets jdk_major to the major version of the installation in $1, or to 0 when there is none.
# Every JDK since 9 has a file "release" with a line JAVA_VERSION="25.0.3".
jdk_read_version() {
  jdk_major=0
  [ -r "$1/release" ] || return 0
  while IFS='=' read -r jdk_key jdk_value; do
    if [ "$jdk_key" = JAVA_VERSION ]; then
      jdk_value=${jdk_value#\"}
      jdk_major=${jdk_value%%[!0-9]*}
      break
    fi
  done <"$1/release"
  jdk_major=${jdk_major:-0}
}

# True when $1 is the home of an installation that will do; sets jdk_major.
jdk_fits() {
  [ -n "$1" ] && [ -x "$1/bin/$jdk_tool" ] || return 1
  jdk_read_version "$1"
  [ "$jdk_major" -ge "$jdk_wanted" ]
}

# find_jdk [--jre] [VERSION]: prints the home, or returns 1.
find_jdk() {
  jdk_tool=javac
  if [ "${1:-}" = --jre ]; then
    jdk_tool=java
    shift
  fi
  jdk_wanted=${1:-25}

  if jdk_fits "${JAVA_HOME:-}"; then
    printf '%s\n' "$JAVA_HOME"
    return 0
  fi

  # Debian's /usr/bin/java is a chain of links into the real home.
  if jdk_java=$(command -v java) && jdk_java=$(readlink -f "$jdk_java") && jdk_fits "${jdk_java%/bin/java}"; then
    printf '%s\n' "${jdk_java%/bin/java}"
    return 0
  fi

  jdk_best='' jdk_best_major=''
  for jdk_home in /usr/lib/jvm/* /opt/jdk* /opt/java/* "${HOME:-/root}"/.sdkman/candidates/java/*; do
    if jdk_fits "$jdk_home" && { [ -z "$jdk_best" ] || [ "$jdk_major" -lt "$jdk_best_major" ]; }; then
      jdk_best=$jdk_home jdk_best_major=$jdk_major
    fi
  done
  [ -n "$jdk_best" ] && printf '%s\n' "$jdk_best"
}

case ${0##*/} in
  find-jdk.sh)
    set -eu
    case ${1:-} in
      -h | --help) find_jdk_usage; exit 0 ;;
      --jre | '' | [0-9]*) ;;
      *) find_jdk_usage >&2; exit 2 ;;
    esac
    case ${2:-0} in
      *[!0-9]*) find_jdk_usage >&2; exit 2 ;;
    esac
    find_jdk "$@" || {
      echo "no Java >= $jdk_wanted found (JAVA_HOME, PATH, /usr/lib/jvm): install one, or set JAVA_HOME" >&2
      exit 1
    }
    ;;
esac
