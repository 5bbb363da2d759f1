#!/usr/bin/env bash
# Builds kind's node image where no registry can be reached, and prints its name. Everything comes from Debian's packages and Go's
# modules; the result is kept in the user's cache folder under the hash of what it was made from. Progress goes to stderr.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

suite=bookworm # its systemd still runs on cgroup v1
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
kind=$(cd ../.. && go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
inputs=$({ go env GOVERSION GOARCH; echo "$kind $suite"; find . -type f ! -name README.md | sort | xargs sha256sum; } | sha256sum)
image=quotes-node:$kubernetes-${inputs:0:12}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quotes/nodeimage

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # one build at a time; a second finds it done

if docker image inspect "$image" >/dev/null 2>&1; then
	echo "$image"
	exit
fi
kept=$cache/${image#*:}.tar
if [[ -f $kept ]] && say "loading $kept" && docker load --quiet --input "$kept" >&2; then
	echo "$image"
	exit
fi

needs debootstrap debootstrap
needs busybox busybox-static
needs jq jq
[[ $(id -u) == 0 ]] || die "the node image is built in a chroot: run this as root, or set NODE_IMAGE to an image that has been pulled"
free=$(df --output=avail -BG "$cache" | tail -1 | tr -dc 0-9)
[[ $free -ge 12 ]] || die "the node image needs 12 GB below $cache while it is built, $free GB are free"

rm -rf "$cache"/work.* # of a build that was killed: the lock is ours
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work" "$kept.part"' EXIT

. ./binaries.sh
. ./base.sh
. ./images.sh

say "kind build node-image"
mkdir -p "$work/server/kubernetes/server/bin"
echo "$kubernetes" >"$work/server/kubernetes/version"
mv "$work"/bin/{kubeadm,kubelet,kubectl} "$work"/archives/*.tar "$work/server/kubernetes/server/bin/"
tar -C "$work/server" -c kubernetes | gzip -1 >"$work/server.tar.gz"
rm -rf "$work/server"
../../bin/kind build node-image --type file --base-image "$base" --image "$image" "$work/server.tar.gz" >"$work/kind.log" 2>&1 || {
	tail -20 "$work/kind.log" >&2
	die "kind could not build the node image: see above"
}
docker save --output "$kept.part" "$image"
mv "$kept.part" "$kept"
say "done, kept as $kept"
echo "$image"
