// Package charts holds the Helm chart of folder quotes, and its tests.
//
// The tests render the chart in process with every values file of quotes/ci, as typed objects, and hold:
//
//   - Every pod passes PodSecurity «restricted», has time to stop, and is given a memory limit that Go knows.
//   - The NetworkPolicies are exactly the connections that the rendered configuration and the helm test make.
//   - Services, containers, probes and configuration agree on ports and names; what a process is configured with, it can read.
//   - Wrong values are refused with a message that names them; every value is described, is in the schema, and is used.
//   - README.md of the chart and k8s/quotes.yaml are what the chart says now; go test ./charts -update writes them.
//
// Whether it all works on a cluster is for hack/e2e.
package charts
