#!/usr/bin/env bash
# Names a missing tool and how to get it. `need.sh python` prints the interpreter to use.
set -euo pipefail

fail() {
  printf 'tradeflow: %s\n' "$*" >&2
  exit 1
}

need_python() {
  local candidate
  # PYTHON=... names one; else the first that runs and is 3.11 (a pyenv shim may not run).
  for candidate in ${PYTHON:-python3.11 python3}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      "$candidate" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$candidate lacks the venv module: apt install python3.11-venv"
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 is needed, and none of '${PYTHON:-python3.11 python3}' is one:" \
    "apt install python3.11 python3.11-venv (or name one: make setup PYTHON=/path/to/python3.11)"
}

need_java() {
  local program=java line version
  [ -z "${JAVA_HOME:-}" ] || program="$JAVA_HOME/bin/java"
  line=$("$program" -version 2>&1 | grep ' version "') ||
    fail "Java 17 is needed, and '$program' does not run: apt install openjdk-17-jre-headless"
  version=$(sed -E 's/.* version "([0-9]+).*/\1/' <<<"$line")
  [ "$version" = 17 ] || fail "Java 17 is needed, '$program' is Java $version:" \
    "apt install openjdk-17-jre-headless, and set JAVA_HOME to it"
}

need_tool() {
  command -v "$1" >/dev/null || fail "$1 is needed: $2"
}

case "${1:-}" in
  python) need_python ;;
  java) need_java ;;
  maven) need_tool mvn "apt install maven" ;;
  uv) need_tool uv "pip install uv" ;;
  promtool) # what checks conf/prometheus: amtool comes with Alertmanager
    need_tool promtool "apt install prometheus prometheus-alertmanager"
    need_tool amtool "apt install prometheus prometheus-alertmanager"
    ;;
  *) fail "need.sh: one of python, java, maven, uv, promtool" ;;
esac
