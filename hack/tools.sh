#!/usr/bin/env bash
# Builds the tools that hack/tools pins into bin/; a second when they are there.
set -euo pipefail
cd "$(dirname "$0")/../hack/tools"
mkdir -p ../../bin
go list tool | CGO_ENABLED=0 xargs nice -n 10 go build -trimpath -ldflags '-s -w' -o ../../bin/
