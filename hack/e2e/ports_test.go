//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// port is a NodePort and where this machine reaches it.
type port struct {
	node int32
	host string // 127.0.0.1:PORT
}

type ports struct{ aggregator, broker port }

// readPorts takes the first two ports that kind.yaml maps to 127.0.0.1: the aggregator's and the broker's.
func readPorts(path string) (p ports, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("port mappings: %w", err)
	}
	var cfg v1alpha4.Cluster
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		return p, fmt.Errorf("port mappings in %s: %w", path, err)
	}
	var found []port
	for _, n := range cfg.Nodes {
		for _, m := range n.ExtraPortMappings {
			if m.ListenAddress == "127.0.0.1" {
				found = append(found, port{m.ContainerPort, net.JoinHostPort(m.ListenAddress, strconv.Itoa(int(m.HostPort)))})
			}
		}
	}
	if len(found) < 2 {
		return p, fmt.Errorf("%s maps %d ports to 127.0.0.1: want two at least", path, len(found))
	}
	return ports{aggregator: found[0], broker: found[1]}, nil
}
