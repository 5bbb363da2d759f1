//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// leftover labels the namespaces that the suite makes.
const leftover = "quotes/e2e"

// makeNamespace makes the suite's namespace with the labels of the one that users get.
func (s *suite) makeNamespace(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	var ns corev1.Namespace
	if err := yaml.UnmarshalStrict(text, &ns); err != nil {
		return fmt.Errorf("namespace in %s: %w", path, err)
	}
	if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		return fmt.Errorf("%s does not enforce restricted pods: %v", path, ns.Labels)
	}
	delete(ns.Labels, "kubernetes.io/metadata.name")
	ns.Name, ns.Labels[leftover] = s.namespace, "true"
	if _, err := s.CoreV1().Namespaces().Create(s.ctx, &ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace: %w", err)
	}
	return nil
}

// removeLeftovers removes what runs before have left: their NodePorts would be in the way.
func (s *suite) removeLeftovers() error {
	list, err := s.CoreV1().Namespaces().List(s.ctx, metav1.ListOptions{LabelSelector: leftover})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for _, ns := range list.Items {
		if err := s.removeNamespace(s.ctx, ns.Name); err != nil {
			return err
		}
	}
	return nil
}

// removeNamespace deletes a namespace and waits until it is gone.
func (s *suite) removeNamespace(ctx context.Context, name string) error {
	if err := s.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %s does not go: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}

// remove uninstalls and removes the namespace, also after Ctrl-C; KEEP=1 leaves all for a look.
func (s *suite) remove(t *testing.T) {
	if os.Getenv("KEEP") != "" {
		t.Logf("KEEP is set: namespace %s stays until the next run", s.namespace)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 2*time.Minute)
	defer cancel()
	if s.release != nil {
		if err := s.release.Uninstall(); err != nil {
			t.Error(err)
		}
	}
	if err := s.removeNamespace(ctx, s.namespace); err != nil {
		t.Error(err)
	}
}
