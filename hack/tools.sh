#!/usr/bin/env bash
# Builds the pinned tools into bin/, all or those named: what hack/tools lists, and kubectl from hack/nodeimage. A second when they
# are there.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p ../bin
export CGO_ENABLED=0
wanted() { [[ $# -eq 1 || " ${*:2} " == *" $1 "* ]]; } # name, wanted names: none means all

cd tools
packages=()
for package in $(go list tool); do
	name=$(sed -E 's|/v[0-9]+$||; s|.*/||' <<<"$package")
	! wanted "$name" "$@" || packages+=("$package")
done
minor=$(go list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2) # else helm template takes itself for Kubernetes 1.20's
helm=helm.sh/helm/v3/pkg
[[ ${#packages[@]} -eq 0 ]] || nice -n 10 go build -trimpath -ldflags "-s -w -X $helm/chartutil.k8sVersionMinor=$minor -X $helm/lint/rules.k8sVersionMinor=$minor" -o ../../bin/ "${packages[@]}"

cd ../nodeimage
if wanted kubectl "$@"; then
	version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	nice -n 10 go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o ../../bin/ k8s.io/kubernetes/cmd/kubectl
fi
