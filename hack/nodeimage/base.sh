# Sourced by build.sh: the node's base image, $base: a Debian with systemd, containerd and the files of kind's own base image, which
# are read in kind's module folder. What is done here follows the steps of the Dockerfile there.
root=$work/root
base=quotes-node-base:${inputs:0:12}
packages=systemd,dbus,conntrack,iptables,nftables,iproute2,ethtool,kmod,mount,util-linux,procps,jq,curl,ca-certificates,e2fsprogs
packages+=,socat,runc,containernetworking-plugins

say "debootstrap $suite"
mirror=$({ grep -hE '^(deb |URIs:)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } | grep -v security |
	grep -oE '[a-z+]+://[^ ]+' | head -1)
[[ -n $mirror ]] || die "no Debian mirror in /etc/apt: debootstrap needs one"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
	tail -5 "$work/debootstrap.log" >&2
	die "debootstrap failed: see above"
}
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}

say "kind's files over it"
cp -r "$kind/images/base/files/." "$root/"
chmod -R u+w "$root/etc" "$root/kind" "$root/usr/local/bin"
chmod 0755 "$root"/usr/local/bin/* "$root"/kind/bin/*
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$root/etc/containerd/config.toml"
install "$work"/bin/{containerd,ctr,containerd-shim-runc-v2} "$root/usr/local/bin/"
install -D -t "$root/opt/cni/bin" "$root"/usr/lib/cni/{host-local,loopback,ptp,portmap}

rm -f "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
	"$root"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* \
	"$root"/lib/systemd/system/sockets.target.wants/*{udev,initctl}* \
	"$root"/etc/systemd/system/*.wants/*
echo ReadKMsg=no >>"$root/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$root/sbin/init"
systemctl --root="$root" enable kubelet containerd undo-mount-hacks >/dev/null 2>&1
systemctl --root="$root" mask systemd-binfmt.service >/dev/null 2>&1
mkdir -p "$root/etc/kubernetes/manifests"
chroot "$root" ctr oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
	>"$root/etc/containerd/cri-base.json"

tar -C "$root" -c . | docker import - "$base-files" >/dev/null
DOCKER_BUILDKIT=0 docker build --quiet --tag "$base" - >/dev/null 2>"$work/base.log" <<EOF || { tail -3 "$work/base.log" >&2; die "docker could not build $base: see above"; }
FROM $base-files
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
EOF
