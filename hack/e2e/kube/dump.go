package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Dump writes what a namespace holds into a folder, a file for each kind of object, and the nodes, volumes and kube-system's
// pods. It goes on after an error and returns all of them.
func (c *Cluster) Dump(ctx context.Context, namespace, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("folder of the dump: %w", err)
	}
	all := metav1.ListOptions{}
	var errs []error
	for name, list := range map[string]func() (runtime.Object, error){
		"pods":            func() (runtime.Object, error) { return c.CoreV1().Pods(namespace).List(ctx, all) },
		"events":          func() (runtime.Object, error) { return c.CoreV1().Events(namespace).List(ctx, all) },
		"services":        func() (runtime.Object, error) { return c.CoreV1().Services(namespace).List(ctx, all) },
		"configmaps":      func() (runtime.Object, error) { return c.CoreV1().ConfigMaps(namespace).List(ctx, all) },
		"claims":          func() (runtime.Object, error) { return c.CoreV1().PersistentVolumeClaims(namespace).List(ctx, all) },
		"volumes":         func() (runtime.Object, error) { return c.CoreV1().PersistentVolumes().List(ctx, all) },
		"nodes":           func() (runtime.Object, error) { return c.CoreV1().Nodes().List(ctx, all) },
		"system-pods":     func() (runtime.Object, error) { return c.CoreV1().Pods("kube-system").List(ctx, all) },
		"deployments":     func() (runtime.Object, error) { return c.AppsV1().Deployments(namespace).List(ctx, all) },
		"replicasets":     func() (runtime.Object, error) { return c.AppsV1().ReplicaSets(namespace).List(ctx, all) },
		"statefulsets":    func() (runtime.Object, error) { return c.AppsV1().StatefulSets(namespace).List(ctx, all) },
		"endpointslices":  func() (runtime.Object, error) { return c.DiscoveryV1().EndpointSlices(namespace).List(ctx, all) },
		"networkpolicies": func() (runtime.Object, error) { return c.NetworkingV1().NetworkPolicies(namespace).List(ctx, all) },
		"budgets":         func() (runtime.Object, error) { return c.PolicyV1().PodDisruptionBudgets(namespace).List(ctx, all) },
	} {
		object, err := list()
		if err == nil {
			err = write(filepath.Join(folder, name+".yaml"), object)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("dump %s: %w", name, err))
		}
	}
	errs = append(errs, c.summary(ctx, namespace, filepath.Join(folder, "pods.txt")))
	return errors.Join(errs...)
}

func write(path string, object runtime.Object) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// summary writes a line for each pod and each event: what one looks at first.
func (c *Cluster) summary(ctx context.Context, namespace, path string) error {
	var b strings.Builder
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("dump pods: %w", err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		fmt.Fprintf(&b, "%-45s %-10s ready %-5v restarts %d deleting %-5v node %s%s\n",
			p.Name, p.Status.Phase, Ready(p), Restarts(p), p.DeletionTimestamp != nil, p.Spec.NodeName, reasons(p))
	}
	events, err := c.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("dump events: %w", err)
	}
	for _, e := range events.Items {
		fmt.Fprintf(&b, "%s %-8s %-20s %s: %s\n", e.LastTimestamp.UTC().Format("15:04:05"), e.Type, e.Reason, e.InvolvedObject.Name, e.Message)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// reasons says why containers wait or have ended.
func reasons(p *corev1.Pod) (out string) {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			out += ", waits: " + w.Reason + " " + w.Message
		}
		if t := s.LastTerminationState.Terminated; t != nil {
			out += fmt.Sprintf(", ended before: %s, exit code %d", t.Reason, t.ExitCode)
		}
	}
	return out
}
