# Sourced by build.sh: the control plane's images, each FROM scratch, in the four archives in $work/archives that kind looks for.
stage=$work/stage
mkdir -p "$work/archives" "$stage"

{
	"$work/bin/kubeadm" config images list --kubernetes-version "$kubernetes" 2>/dev/null | grep -v /pause:
	grep -oE 'registry[^"]*/pause:[^"]+' "$kind/images/base/files/etc/containerd/config.toml"
	grep -ohE '"docker.io/kindest/[^"]+"' "$kind"/pkg/build/nodeimage/const_*.go | tr -d '"'
} >"$work/required"

reference() { # name: that of the one image of this name that kubeadm or kind asks for
	grep -m1 "/$1:" "$work/required" || die "neither kubeadm nor kind asks for an image $1"
}

image() { # name, entrypoint; its files lie in $stage, which is emptied
	local ref
	ref=$(reference "$1")
	say "image $ref"
	tar -C "$stage" -c . | docker import --change "ENTRYPOINT [\"$2\"]" - "$ref" >/dev/null
	rm -rf "$stage"
	mkdir -p "$stage"
}

binary() { # name
	install -D -t "$stage/usr/local/bin" "$work/bin/$1"
	install -D -t "$stage/etc" "$root/etc/passwd" # Go looks up its user's home there
	image "$1" "/usr/local/bin/$1"
}

# with_libraries copies programs or plug-ins out of the base image, with all they are linked to.
with_libraries() {
	local file
	for file in "$@"; do
		(cd "$root" && cp --parents -L ".$file" "$stage")
		chroot "$root" ldd "$file" | grep -oE '/[^ ]+\.so[^ ]*' | while read -r lib; do (cd "$root" && cp --parents -L ".$lib" "$stage"); done
	done
}

# archive writes images into one docker archive. kind reads the first entry's tags only, unless a file «repositories» comes first;
# and docker drops the docker.io/ of kind's own tags, which containerd wants.
archive() { # file, names of images
	local dir=$work/archive name refs=()
	for name in "${@:2}"; do
		refs+=("$(reference "$name")")
	done
	mkdir -p "$dir"
	docker save "${refs[@]}" | tar -C "$dir" -x
	jq -c 'map(.RepoTags |= map(sub("^kindest/"; "docker.io/kindest/")))' "$dir/manifest.json" >"$dir/fixed.json"
	mv "$dir/fixed.json" "$dir/manifest.json"
	jq -c '[.[] | .RepoTags[] | capture("^(?<repo>.*):(?<tag>[^:]+)$")] | group_by(.repo) | map({(.[0].repo): (map({(.tag): "x"}) | add)}) | add' \
		"$dir/manifest.json" >"$dir/repositories"
	(cd "$dir" && tar -cf "$work/archives/$1.tar" repositories -- $(ls -A | grep -vx repositories))
	rm -rf "$dir"
}

for name in kube-apiserver kube-controller-manager kube-scheduler; do
	binary "$name"
	archive "$name" "$name"
done

mkdir -p "$stage"/{tmp,run,var/lib,usr/sbin}
with_libraries /usr/sbin/{xtables-nft-multi,xtables-legacy-multi,nft,conntrack} /bin/kmod \
	$(cd "$root" && find usr/lib -name '*.so' -path '*/xtables/*' -printf '/%p\n')
for name in iptables ip6tables; do
	for verb in "" -save -restore; do
		ln -sf xtables-nft-multi "$stage/usr/sbin/$name$verb"
	done
done
binary kube-proxy

for name in etcd coredns pause kindnetd local-path-provisioner; do
	binary "$name"
done
mkdir -p "$stage/bin"
install "$(command -v busybox)" "$stage/bin/busybox"
for name in sh mkdir rm chmod; do
	ln -s busybox "$stage/bin/$name"
done
image local-path-helper /bin/sh

archive kube-proxy kube-proxy etcd coredns pause kindnetd local-path-provisioner local-path-helper
