#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME each.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-10s}
grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' src | sed -E 's/:[0-9]+:func /\t/' | sort | while IFS=$'\t' read -r file target; do
	dir=./$(dirname "$file")
	echo "== $target ($dir)"
	go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1x </dev/null
done
