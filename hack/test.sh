#!/usr/bin/env bash
# Runs the tests of all modules. RUN=regexp and PKG=pattern narrow them.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/modules.sh
race=()
if [[ "$(go env CGO_ENABLED)" == 1 ]] && command -v "$(go env CC)" >/dev/null; then
	race=(-race)
else
	echo "no C compiler: the tests run without the race detector" >&2
fi
for dir in $(modules); do
	[[ "$dir" == hack/tools ]] && continue # pins tools, has no code
	(cd "$dir" && go test "${race[@]}" -timeout 280s ${RUN:+-run "$RUN"} "${PKG:-./...}")
done
