#!/usr/bin/env bash
# Runs the named benchmarks of hack/bench, or all. What each prints is kept in out/bench/NAME.txt once it has ended, and put into its
# section of docs/benchmarks.md; the other sections stay.
set -euo pipefail
export CGO_ENABLED=0 # as what is shipped
cd "$(dirname "$0")/bench"
mkdir -p ../../bin ../../out/bench
all=$(grep -l 'bench\.Print(' */main.go | xargs dirname)
for name in ${*:-$all}; do
	[[ -f $name/main.go ]] || { echo "bench: no benchmark $name; there are:" $all >&2; exit 2; }
	go build -trimpath -o "../../bin/bench-$name" "./$name"
	rm -f "../../out/bench/$name.txt"
	(cd ../.. && "bin/bench-$name" | tee "out/bench/$name.part" && mv "out/bench/$name.part" "out/bench/$name.txt")
done
go run ./write ../../out/bench ../../docs/benchmarks.md
