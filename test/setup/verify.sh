#!/usr/bin/env bash
# Fails when gofmt, go mod tidy or go generate would change a file of the
# working tree. Nothing is changed: generators run in a copy.
set -euo pipefail

status=0
complain() { printf 'verify: %s\n' "$*" >&2; status=1; }

files=$(git ls-files -co --exclude-standard -- '*.go' | while read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done)
unformatted=$(xargs -r gofmt -l <<<"$files")
[ -z "$unformatted" ] || complain "gofmt would change: $unformatted"

for module in . test/cluster/*/; do
  [ ! -e "$module/go.mod" ] || (cd "$module" && go mod tidy -diff) || complain "go mod tidy would change go.mod or go.sum of $module (above)"
done

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -co --exclude-standard -z | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$copy"
cp -r "$copy" "$copy.before"
trap 'rm -rf "$copy" "$copy.before"' EXIT
(cd "$copy" && go generate ./...) || complain "go generate failed"
diff -ru "$copy.before" "$copy" || complain "go generate would change files (above): run make generate"

[ $status = 0 ] && echo "verify: nothing to change"
exit $status
