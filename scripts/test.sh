#!/usr/bin/env bash
# Sets the machine up and runs every test there is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case ${1:-} in
  -h | --help)
    cat <<'U'
usage: test.sh [Maven argument...]

Installs what is missing (as root, where there is apt-get; else it says what), prepares the guests (scripts/guest/setup.sh,
and scripts/guest/zoned-kernel.sh, which takes a few minutes the first time; where its source cannot be had, the tests that
need it are skipped), and runs "mvn -B verify": formatter, compiler, unit tests, integration tests, guests. The last lines are Maven's summary.

exit status: that of Maven, or 1 when the set-up failed
U
    exit 0
    ;;
esac

JAVA_HOME=$("$here/setup-build.sh")
export JAVA_HOME
"$here/guest/setup.sh"
"$here/guest/zoned-kernel.sh" >/dev/null || [ $? -eq 3 ]
cd "$here/.."
exec mvn -B verify "$@"
