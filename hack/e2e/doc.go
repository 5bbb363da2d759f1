// Package e2e proves the failure table of docs/operations.md on the kind cluster that make kind-up gives: make e2e, or
// make e2e RUN=name for one scenario. Its tests have the build tag e2e.
//
// The suite installs the chart in a fresh namespace, with a calm exchange: every fault is its own. From before the first
// disruption on it streams the logs of all pods and probes without a pause; a scenario breaks something and hands the history
// to the judges. Between scenarios everything must have settled, and pods that a scenario did not concern must be the same.
// What it saw is kept below out/e2e; a failure, a panic or Ctrl-C adds a dump there, and its path is printed.
//
// It does not start a cluster and does not build images.
package e2e
