#!/usr/bin/env bash
# Runs the named benchmarks of hack/bench, or all. What each prints is kept in out/bench/NAME.txt.
set -euo pipefail
cd "$(dirname "$0")/bench"
mkdir -p ../../bin ../../out/bench
names=("$@")
[[ $# -gt 0 ]] || for main in */main.go; do names+=("${main%/main.go}"); done
for name in "${names[@]}"; do
	[[ -f $name/main.go ]] || { echo "bench: no benchmark $name; there are: $(ls -d */main.go | xargs dirname | xargs)" >&2; exit 2; }
	go build -trimpath -o "../../bin/bench-$name" "./$name"
	(cd ../.. && "bin/bench-$name" | tee "out/bench/$name.txt")
done
