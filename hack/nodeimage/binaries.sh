# Sourced by build.sh: compiles all binaries into $work/bin.
minor=${kubernetes#v1.}
version=k8s.io/component-base/version
ldflags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} \
	-X k8s.io/client-go/pkg/version.gitVersion=$kubernetes" # kubeadm asks its own version

compile() { # package, and the binary's name where it is not the package's
	say "compiling $1"
	CGO_ENABLED=0 nice -n 10 go build -trimpath -ldflags "$ldflags" -o "$work/bin/${2:-$(basename "$1")}" "$1"
}

mkdir -p "$work/bin"
for name in pause kindnetd coredns; do
	compile "./$name"
done
compile go.etcd.io/etcd/server/v3 etcd
compile github.com/rancher/local-path-provisioner
for name in containerd ctr containerd-shim-runc-v2; do
	compile "github.com/containerd/containerd/v2/cmd/$name"
done
for name in kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
	compile "k8s.io/kubernetes/cmd/$name"
done
