package kube

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/drain"
)

// Cordon forbids new pods on a node, or allows them again.
func (c *Cluster) Cordon(ctx context.Context, node string, forbid bool) error {
	n, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: %w", node, err)
	}
	helper := &drain.Helper{Ctx: ctx, Client: c.Interface, Out: io.Discard, ErrOut: io.Discard}
	if err := drain.RunCordonOrUncordon(helper, n, forbid); err != nil {
		return fmt.Errorf("cordon %s: %w", node, err)
	}
	return nil
}

// Drain cordons a node and evicts a namespace's pods from it, as kubectl drain does with all, within a bound. Other namespaces
// are left alone: what somebody else has there may not want to go. What it does goes to out.
func (c *Cluster) Drain(ctx context.Context, node, namespace string, bound time.Duration, out io.Writer) error {
	if err := c.Cordon(ctx, node, true); err != nil {
		return err
	}
	helper := &drain.Helper{
		Ctx: ctx, Client: c.Interface, Force: true, GracePeriodSeconds: -1, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true,
		Timeout: bound, EvictErrorRetryDelay: time.Second, Out: out, ErrOut: out,
		AdditionalFilters: []drain.PodFilter{func(p corev1.Pod) drain.PodDeleteStatus {
			if p.Namespace != namespace {
				return drain.MakePodDeleteStatusSkip()
			}
			return drain.MakePodDeleteStatusOkay()
		}},
	}
	if err := drain.RunNodeDrain(helper, node); err != nil {
		return fmt.Errorf("drain %s: %w", node, err)
	}
	return nil
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
