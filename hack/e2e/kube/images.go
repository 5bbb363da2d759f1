package kube

import (
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"
)

// images lists the names of all images on a node.
func images(n nodes.Node) ([]string, error) {
	return exec.OutputLines(n.Command("ctr", "--namespace=k8s.io", "images", "ls", "-q"))
}
