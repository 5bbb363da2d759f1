#!/usr/bin/env bash
# Runs the tests of all modules; RUN=regexp narrows them, PKG=pattern to packages of the main module.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/modules.sh
race=()
if go build -race runtime/cgo 2>/dev/null; then # the race detector needs a C compiler and its headers
	race=(-race)
else
	echo "no C compiler that works: the tests run without the race detector" >&2
fi
[[ -n "${PKG:-}" ]] && dirs=. || dirs=$(modules)
for dir in $dirs; do
	(cd "$dir" && go test "${race[@]}" -timeout 280s ${RUN:+-run "$RUN"} "${PKG:-./...}")
done
