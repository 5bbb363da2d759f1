#!/usr/bin/env bash
# Builds the tools that hack/tools pins into bin/, unless they are there in that version.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
bin=$PWD/bin
cd hack/tools
stamp=$bin/.tools-$(cat go.mod go.sum | sha256sum | cut -c1-16)
[[ -e "$stamp" ]] && exit 0
rm -f "$bin"/.tools-*
for pkg in $(go list tool); do
	echo "building $(basename "$pkg" | sed 's/^v[0-9]*$//') ($pkg)" >&2
	CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags '-s -w' -o "$bin/" "$pkg"
done
touch "$stamp"
