// Package kube is what the e2e suite does to a kind cluster: it installs the chart, scales, restarts, deletes and drains,
// looks into single pods, streams logs and dumps what there is to know after a failure.
//
// It guarantees that all traffic goes to 127.0.0.1: the API server's address as kind made it, through which pods are reached
// by port-forward, over WebSocket where the server can and SPDY else. Logs are followed from a pod's first container on, so
// that those of deleted pods survive. It does not judge.
package kube
