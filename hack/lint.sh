#!/usr/bin/env bash
# Lints all modules with the pinned golangci-lint.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/modules.sh
root=$PWD
for dir in $(modules); do
	(cd "$dir" && "$root/bin/golangci-lint" run --allow-parallel-runners --config "$root/.golangci.yml" ./...)
done
