#!/usr/bin/env bash
# Rewrites the expected outputs of tests: with -update where a package's tests
# know that flag, with -rewrite for its datadriven dialogues. Read the diff
# before it is committed.
set -euo pipefail

# grep fails where it finds none.
packages() { { grep -rlE --include='*_test.go' "$1" . || true; } | xargs -r -n1 dirname | sort -u; }

updating=$(packages 'flag\.Bool(Var)?\(.*"update"')
dialogues=$(packages '"github.com/cockroachdb/datadriven"')
[ -n "$updating$dialogues" ] || { echo "golden: no package has golden files" >&2; exit 1; }
[ -z "$updating" ] || xargs -r -n1 sh -c 'go test -count=1 "$0" -update' <<<"$updating"
[ -z "$dialogues" ] || xargs -r -n1 sh -c 'go test -count=1 "$0" -rewrite' <<<"$dialogues"
