#!/usr/bin/env bash
# Makes sure that the build's own tools are there: a JDK and Maven. Prints the JAVA_HOME to build with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jdk_version=25

case ${1:-} in
  '') ;;
  -h | --help)
    echo "usage: setup-build.sh"
    echo "Installs a JDK >= $jdk_version and Maven when they are missing (needs root and apt-get) and prints the JAVA_HOME."
    exit 0
    ;;
  *) echo "usage: setup-build.sh" >&2; exit 2 ;;
esac

# Debian 12 has no JDK this new: asking apt first gives one clear line instead of apt's "unable to locate".
if ! home=$("$here/find-jdk.sh" "$jdk_version" 2>/dev/null); then
  package=openjdk-$jdk_version-jdk-headless
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-cache show "$package" >/dev/null 2>&1 || apt-get update -qq </dev/null >/dev/null || true
    if apt-cache show "$package" >/dev/null 2>&1; then
      "$here/install-packages.sh" "/usr/lib/jvm/java-$jdk_version-openjdk-$(dpkg --print-architecture)=$package"
    fi
  fi
  if ! home=$("$here/find-jdk.sh" "$jdk_version" 2>/dev/null); then
    echo "no JDK >= $jdk_version found: install one (Debian: $package where apt has it, or a Temurin or Oracle build" \
      "below /usr/lib/jvm) or set JAVA_HOME" >&2
    exit 1
  fi
fi

"$here/install-packages.sh" mvn=maven
printf '%s\n' "$home"
