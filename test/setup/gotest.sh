#!/usr/bin/env bash
# Runs go test with the arguments given, shows its output without the lines of
# tests that merely begin, and fails on a failure and on a skipped test alike:
# a component that is missing is a failure here. What failed is shown once more
# at the end, where it is found.
set -euo pipefail

# A program under the race detector waits a second at its end, each command of
# a story too; a tenth is enough for what still runs.
export GORACE="atexit_sleep_ms=100 ${GORACE:-}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test -v "$@" 2>&1 | tee "$log" | grep --line-buffered -vE '^=== (RUN|PAUSE|CONT|NAME) ' || status=${PIPESTATUS[0]}
skipped=$(grep -E '^ *--- SKIP' "$log" || true)
if [ -n "$skipped" ]; then
  printf 'test: skipped tests are not allowed:\n%s\n' "$skipped" >&2
  status=1
fi
if [ "$status" != 0 ]; then
  echo 'test: what failed, each with the last lines before it:'
  grep -vE '^=== (RUN|PAUSE|CONT|NAME) |^ *--- PASS' "$log" |
    grep -E -B 20 -m 20 '^--- FAIL|^panic: |WARNING: DATA RACE' || true
fi
exit "$status"
