// Command kindnetd joins the nodes of a kind cluster: it stands in for kind's own daemon of that name where its image can't be
// pulled. On its own node it writes the CNI configuration for the node's pod range; for each other node it sets a route to that
// node's pod range. It enforces no NetworkPolicy.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	conflist = "/etc/cni/net.d/10-kindnet.conflist"
	every    = 2 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv("HOST_IP")); err != nil {
		slog.Error("kindnetd stopped", "err", err)
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

func run(ctx context.Context, hostIP string) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := sync(ctx, client, hostIP); err != nil && ctx.Err() == nil {
			slog.Warn("nodes not joined, asked again soon", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sync makes this node's configuration and routes what the cluster's nodes ask for.
func sync(ctx context.Context, client kubernetes.Interface, hostIP string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes.Items {
		if ip := internalIP(n); n.Spec.PodCIDR == "" || ip == "" {
			continue
		} else if ip == hostIP {
			errs = append(errs, writeConf(n.Spec.PodCIDR))
		} else {
			errs = append(errs, route(n.Spec.PodCIDR, ip))
		}
	}
	return errors.Join(errs...)
}

func internalIP(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

func route(podCIDR, via string) error {
	_, dst, err := net.ParseCIDR(podCIDR)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(via)}); err != nil {
		return fmt.Errorf("route to %s via %s: %w", dst, via, err)
	}
	return nil
}

// writeConf writes the CNI configuration, whole or not at all, and only where it differs.
func writeConf(podCIDR string) error {
	type m = map[string]any
	conf, err := json.Marshal(m{
		"cniVersion": "0.4.0", "name": "kindnet", "plugins": []m{
			{
				"type": "ptp", "ipMasq": false, "mtu": 1500,
				"ipam": m{"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": []m{{"dst": "0.0.0.0/0"}}, "ranges": [][]m{{{"subnet": podCIDR}}}},
			},
			{"type": "portmap", "capabilities": m{"portMappings": true}},
		},
	})
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(conflist); err == nil && bytes.Equal(old, conf) {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(conflist), ".kindnet.tmp")
	if err := os.WriteFile(tmp, conf, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, conflist)
}
