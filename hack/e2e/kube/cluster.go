package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	kind "sigs.k8s.io/kind/pkg/cluster"
)

// ErrNoCluster says that there is no cluster to test on.
var ErrNoCluster = errors.New("no cluster")

// Cluster is a running kind cluster.
type Cluster struct {
	kubernetes.Interface
	name   string
	config *rest.Config
	raw    clientcmd.ClientConfig
	kind   *kind.Provider
}

// Connect finds the kind cluster of a name and asks its API server whether it lives. Errors wrap [ErrNoCluster] where there
// is none, with what to do.
func Connect(ctx context.Context, name string) (*Cluster, error) {
	option, err := kind.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: no Docker engine answers: start Docker (on a Debian machine without one: sudo hack/ci/docker.sh up): %w", ErrNoCluster, err)
	}
	c := &Cluster{name: name, kind: kind.NewProvider(option)}
	names, err := c.kind.List()
	if err != nil {
		return nil, fmt.Errorf("%w: no Docker engine answers: start Docker (on a Debian machine without one: sudo hack/ci/docker.sh up): %w", ErrNoCluster, err)
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%w %q: run make kind-up", ErrNoCluster, name)
	}
	text, err := c.kind.KubeConfig(name, false)
	if err != nil {
		return nil, fmt.Errorf("%w %q that answers: run make kind-down kind-up: %w", ErrNoCluster, name, err)
	}
	if c.raw, err = clientcmd.NewClientConfigFromBytes([]byte(text)); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	if c.config, err = c.raw.ClientConfig(); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	c.config.QPS, c.config.Burst = 100, 200 // polling a dozen pods must not wait for the client's own brake
	if host, err := url.Parse(c.config.Host); err != nil || host.Hostname() != "127.0.0.1" {
		return nil, fmt.Errorf("the API server of %s is %s: want it on 127.0.0.1", name, c.config.Host)
	}
	if c.Interface, err = kubernetes.NewForConfig(c.config); err != nil {
		return nil, fmt.Errorf("client of %s: %w", name, err)
	}
	if _, err = c.Discovery().ServerVersion(); err != nil {
		return nil, fmt.Errorf("%w %q that answers: run make kind-up: %w", ErrNoCluster, name, err)
	}
	return c, ctx.Err()
}
