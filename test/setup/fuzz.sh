#!/usr/bin/env bash
# Fuzzes every target for FUZZTIME each, one after the other. A finding is kept
# by go test below the package's testdata/fuzz: commit it with its repair.
set -euo pipefail

each=${FUZZTIME:-30s}
targets=$(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . |
  sed -E 's|^(.*)/[^/]*:func (Fuzz.*)$|\1 \2|' | sort || true) # grep fails where it finds none
[ -n "$targets" ] || { echo "fuzz: found no target" >&2; exit 1; }

failed=()
while read -r pkg target; do
  echo "fuzz: $pkg $target for $each"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" "$pkg" </dev/null || failed+=("$pkg $target")
done <<<"$targets"

[ ${#failed[@]} = 0 ] || { printf 'fuzz: failed: %s\n' "${failed[@]}" >&2; exit 1; }
echo "fuzz: $(wc -l <<<"$targets") targets, nothing found"
