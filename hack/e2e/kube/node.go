package kube

import (
	"context"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/drain"
)

// Cordon forbids new pods on a node, or allows them again.
func (c *Cluster) Cordon(ctx context.Context, node string, forbid bool) error {
	n, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: %w", node, err)
	}
	if err := drain.RunCordonOrUncordon(c.drainer(ctx, io.Discard, 0), n, forbid); err != nil {
		return fmt.Errorf("cordon %s: %w", node, err)
	}
	return nil
}

// Drain cordons a node and evicts its pods, as kubectl drain does, within a bound. What it does goes to out.
func (c *Cluster) Drain(ctx context.Context, node string, bound time.Duration, out io.Writer) error {
	if err := c.Cordon(ctx, node, true); err != nil {
		return err
	}
	if err := drain.RunNodeDrain(c.drainer(ctx, out, bound), node); err != nil {
		return fmt.Errorf("drain %s: %w", node, err)
	}
	return nil
}

func (c *Cluster) drainer(ctx context.Context, out io.Writer, bound time.Duration) *drain.Helper {
	return &drain.Helper{
		Ctx: ctx, Client: c.Interface, Force: true, GracePeriodSeconds: -1, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true,
		Timeout: bound, Out: out, ErrOut: out,
	}
}

// Workers lists the names of the nodes that may run ordinary pods.
func (c *Cluster) Workers(ctx context.Context) (names []string, err error) {
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!node-role.kubernetes.io/control-plane"})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes.Items {
		names = append(names, n.Name)
	}
	return names, nil
}
