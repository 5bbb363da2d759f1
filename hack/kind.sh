#!/usr/bin/env bash
# kind.sh up: the kind cluster «quotes» with the images of this tree in it, ready for helm install; safe to run again.
# kind.sh down: removes it. kind.sh tag: prints the tag that the images of this tree get.
# NODE_IMAGE decides the node image; unset, kind's own is pulled or else nodeimage/ builds one.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/bin:$PATH KIND_CLUSTER_NAME=${KIND_CLUSTER_NAME:-quotes}
context=kind-$KIND_CLUSTER_NAME
say() { echo "kind: $*" >&2; }
die() { say "$*"; exit 1; }
kube() { kubectl --context "$context" --request-timeout 10s "$@"; }

# tag prints the hash of what the images are made of.
tag() {
	echo "src-$(git ls-files -z --cached --others --exclude-standard src go.mod go.sum ko.yaml | xargs -0 sh -c 'for f; do [ ! -f "$f" ] || sha256sum "$f"; done' - | sha256sum | cut -c1-12)"
}
[[ ${1:-} != tag ]] || { tag; exit; }

[[ $(uname) == Linux ]] || die "this script needs Linux: elsewhere make the cluster with kind and k8s/kind.yaml, and load the images with ko"
docker=$(docker version --format '{{.Server.Version}}' 2>/dev/null) ||
	die "no Docker engine answers: start Docker and try again (on a Debian machine without one: sudo hack/ci/docker.sh up)"
((${docker%%.*} >= 20)) || die "Docker $docker is too old for kind: 20.10 or newer is needed"

# One at a time: two would make, load and remove the same cluster.
exec 9>"${TMPDIR:-/tmp}/quotes-kind-$KIND_CLUSTER_NAME.lock"
flock -n 9 || { say "another kind.sh is at work on cluster $KIND_CLUSTER_NAME: waiting"; flock 9; }

up() {
	if alive; then
		same_image
		say "cluster $KIND_CLUSTER_NAME is up"
	else
		create
	fi
	load
	say "next: bin/helm install quotes charts/quotes --wait"
}

# alive tells whether the cluster answers; one left dead, by an engine's restart say, is removed.
alive() {
	local nodes
	nodes=$(kind get nodes 2>/dev/null)
	[[ -n $nodes ]] || return 1
	restarted $nodes || { kind export kubeconfig --quiet 2>/dev/null && answers && return; }
	say "cluster $KIND_CLUSTER_NAME is there but does not answer: it is made anew"
	kind delete cluster --quiet
	return 1
}

# answers tells whether the API server is ready within a minute: it may be busy.
answers() {
	for _ in {1..30}; do
		kube get --raw /readyz >/dev/null 2>&1 && return
		sleep 2
	done
	return 1
}

# same_image refuses to go on with a cluster of another node image than the one asked for.
same_image() {
	local image
	image=$(docker inspect --format '{{.Config.Image}}' "$KIND_CLUSTER_NAME-control-plane")
	[[ -z ${NODE_IMAGE:-} || $image == "$NODE_IMAGE" ]] || die "cluster $KIND_CLUSTER_NAME runs $image, not NODE_IMAGE=$NODE_IMAGE: make kind-down first"
}

# restarted tells whether a node does not run or was started long after it was made: nodes rarely find each other again after that.
restarted() { # nodes
	docker inspect --format '{{.State.Running}} {{.Created}} {{.State.StartedAt}}' "$@" | while read -r running made started; do
		[[ $running == true ]] || echo dead
		made=$(date -d "$made" +%s) && started=$(date -d "$started" +%s) || continue # what can't be read proves nothing
		((started - made < 60)) || echo dead
	done | grep dead >/dev/null # not -q, which would end before the others have written
}

create() {
	local image config
	image=$(node_image)
	mkdir -p out
	config=out/kind.yaml
	cp k8s/kind.yaml "$config"
	if [[ $(stat -fc %T /sys/fs/cgroup) != cgroup2fs ]]; then
		say "cgroup v1: the kubelets are told to bear it"
		cat >>"$config" <<-EOF
			featureGates: {KubeletInUserNamespace: true}
			kubeadmConfigPatches:
			- |
			  kind: KubeletConfiguration
			  failCgroupV1: false
		EOF
	fi
	say "creating cluster $KIND_CLUSTER_NAME of $image"
	kind create cluster --config "$config" --image "$image" --wait 3m >&2 || {
		kind delete cluster --quiet
		die "the cluster did not come up and was removed: see above"
	}
	kube wait --for condition=Ready nodes --all --timeout 2m >/dev/null
}

node_image() {
	local default
	default=$(sed -n 's/^const Image = "\(.*\)"$/\1/p' "$(go list -m -f '{{.Dir}}' sigs.k8s.io/kind)/pkg/apis/config/defaults/image.go")
	if [[ -n ${NODE_IMAGE:-} ]]; then
		echo "$NODE_IMAGE"
	elif docker image inspect "$default" >/dev/null 2>&1 || { say "pulling $default" && timeout 300 docker pull --quiet "$default" >&2; }; then
		echo "$default"
	else
		say "no registry can be reached: the node image is built here, 10 to 15 minutes the first time"
		hack/nodeimage/build.sh
	fi
}

# load builds the six images and puts them on the nodes, as kind.local/NAME:dev, which the chart names, and under one tag that is the
# hash of the sources; then it restarts what runs an older dev.
load() {
	local tag refs ref name before after=()
	base
	tag=$(tag)
	mkdir -p out
	refs=$(images "$tag") || {
		[[ -z ${KO_DEFAULTBASEIMAGE:-} ]] && grep -q 'base image' out/ko.log &&
			say "the base of ko.yaml can't be had: the images stand on one made here" &&
			refs=$(local_base && images "$tag")
	} || {
		tail -5 out/ko.log >&2
		die "ko could not build and load the images: see above and out/ko.log"
	}
	before=$(kube -n kube-system get configmap quotes-loaded -o jsonpath='{.data}' 2>/dev/null || echo '{}')
	for ref in $refs; do # kind.local/NAME:HASH
		name=$(basename "${ref%:*}")
		after+=("--from-literal=$name=${ref##*:}")
		[[ $before == '{}' || $before == *"\"$name\":\"${ref##*:}\""* ]] || restart "kind.local/$name:dev"
	done
	kube -n kube-system create configmap quotes-loaded --from-literal="tag=$tag" "${after[@]}" --dry-run=client -o yaml | kube apply -f - >/dev/null
	say "images loaded as kind.local/NAME:dev and kind.local/NAME:$tag"
}

# images builds and loads them for the engine's processor, and prints a reference a line.
images() { # tag
	local platform
	platform=linux/$(docker version --format '{{.Server.Arch}}')
	ko build --base-import-paths --platform "$platform" --tags "dev,$1" ./src/cmd/{external,broker,core,shard,aggregator,quotectl} 2>out/ko.log
}

# base chooses what the images stand on: what ko.yaml says, or, in a cluster made without a registry, an image made here.
base() {
	local image
	export KO_CONFIG_PATH=ko.yaml KO_DOCKER_REPO=kind.local VERSION
	VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
	image=$(docker inspect --format '{{.Config.Image}}' "$KIND_CLUSTER_NAME-control-plane")
	[[ -n ${KO_DEFAULTBASEIMAGE:-} || $image != quotes-node:* ]] || local_base
}

# local_base makes the base image here, unless another was asked for.
local_base() {
	local root
	[[ -z ${KO_DEFAULTBASEIMAGE:-} ]] || return
	export KO_DEFAULTBASEIMAGE=ko.local/quotes-base:1
	docker image inspect "$KO_DEFAULTBASEIMAGE" >/dev/null 2>&1 && return
	root=$(mktemp -d)
	mkdir -p "$root"/{etc/ssl/certs,tmp}
	chmod 1777 "$root/tmp"
	echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$root/etc/passwd"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	tar -C "$root" -c . | docker import --change 'USER 65532:65532' - "$KO_DEFAULTBASEIMAGE" >/dev/null
	rm -rf "$root"
}

# restart rolls the workloads, in any namespace, that run the image.
restart() { # image
	kube get deployments,statefulsets -A -o go-template="{{range .items}}{{\$w := .}}{{range .spec.template.spec.containers}}{{if eq .image \"$1\"}}{{\$w.kind}} {{\$w.metadata.namespace}} {{\$w.metadata.name}}{{\"\\n\"}}{{end}}{{end}}{{end}}" |
		sort -u | while read -r kind namespace name; do
			say "$1 changed: $kind $namespace/$name restarts"
			kube -n "$namespace" rollout restart "$kind" "$name" >/dev/null </dev/null
		done
}

down() {
	kind delete cluster
}

case ${1:-} in
up | down) "$1" ;;
*) die "say up, down or tag" ;;
esac
