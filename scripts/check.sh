#!/usr/bin/env bash
# The checks to run before a commit (--fast) and before a push.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

usage() {
  cat <<'U'
usage: check.sh [--fast]

Without an option: everything but the guests (mvn -B verify -DskipGuestTests): formatter, compiler, architecture, tests.
--fast: the formatter and the compiler on the modules with uncommitted changes, and the shell scripts that changed.

exit status: 0 all is well, 1 or Maven's status when not, 2 wrong arguments
U
}

fast=false
case ${1:-} in
  '') ;;
  --fast) fast=true ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

# Changed against the last commit, staged or not, and new files; deleted ones too, as they can break a module.
changed_files() {
  git diff --name-only HEAD
  git ls-files --others --exclude-standard
}

# The module of a file is the nearest directory above it with a pom.xml; a change of the root's means all modules.
module_of() {
  local directory
  directory=$(dirname "$1")
  while [ "$directory" != . ] && [ ! -e "$directory/pom.xml" ]; do
    directory=$(dirname "$directory")
  done
  printf '%s\n' "$directory"
}

check_shell() {
  local file
  for file; do
    [ -e "$file" ] || continue
    bash -n "$file"
  done
  if command -v shellcheck >/dev/null; then
    shellcheck -S warning -x -P . "$@"
  fi
}

find_build() {
  if ! JAVA_HOME=$("$here/find-jdk.sh" 2>/dev/null); then
    echo "no JDK >= 25 found: run scripts/setup-build.sh as root, or set JAVA_HOME" >&2
    exit 1
  fi
  export JAVA_HOME
  command -v mvn >/dev/null || { echo "mvn is missing: run scripts/setup-build.sh as root" >&2; exit 1; }
}

if ! $fast; then
  mapfile -t scripts < <(git ls-files '*.sh' .ci/run .githooks/pre-commit)
  check_shell "${scripts[@]}"
  find_build
  exec mvn -B verify -DskipGuestTests
fi

modules=() scripts=()
while read -r file; do
  case $file in
    *.java | pom.xml | */pom.xml) modules+=("$(module_of "$file")") ;;
    *.sh | .ci/run | .githooks/pre-commit) [ ! -e "$file" ] || scripts+=("$file") ;;
  esac
done < <(changed_files | sort -u)

[ ${#scripts[@]} -eq 0 ] || check_shell "${scripts[@]}"
[ ${#modules[@]} -gt 0 ] || exit 0

find_build
list=$(printf '%s\n' "${modules[@]}" | sort -u | paste -s -d,)
case ",$list," in
  *,.,*) selected=() ;;
  *) selected=(-pl "$list" -am) ;;
esac
exec mvn -B -q "${selected[@]}" spotless:check test-compile
