package kube

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"
)

// Tag returns the tag, a hash of the sources, under which make kind-up loaded the images last.
func (c *Cluster) Tag(ctx context.Context) (string, error) {
	loaded, err := c.CoreV1().ConfigMaps("kube-system").Get(ctx, "quotes-loaded", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("no images are loaded: run make kind-up: %w", err)
	}
	return loaded.Data["tag"], nil
}

// MissingImages lists which images a node of the cluster does not have.
func (c *Cluster) MissingImages(refs []string) (missing []string, err error) {
	nodes, err := c.kind.ListInternalNodes(c.name)
	if err != nil {
		return nil, fmt.Errorf("nodes of %s: %w", c.name, err)
	}
	for _, n := range nodes {
		role, err := n.Role()
		if err != nil {
			return nil, fmt.Errorf("role of %s: %w", n, err)
		}
		if role != "worker" && len(nodes) > 1 {
			continue
		}
		held, err := images(n)
		if err != nil {
			return nil, fmt.Errorf("images of %s: %w", n, err)
		}
		for _, ref := range refs {
			if !slices.Contains(held, ref) {
				missing = append(missing, fmt.Sprintf("%s on %s", ref, n))
			}
		}
	}
	return missing, nil
}

// images lists the names of all images on a node.
func images(n nodes.Node) ([]string, error) {
	return exec.OutputLines(n.Command("ctr", "--namespace=k8s.io", "images", "ls", "-q"))
}
