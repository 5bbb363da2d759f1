package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// ReadyIn bounds how long an install or upgrade waits for its pods.
const ReadyIn = 2 * time.Minute

// Release is the chart, to be installed once in a namespace.
type Release struct {
	name, namespace string
	chart           *chart.Chart
	config          *action.Configuration
}

// NewRelease loads the chart from a folder. What helm has to say goes to out.
func (c *Cluster) NewRelease(name, namespace, folder string, out io.Writer) (*Release, error) {
	ch, err := loader.Load(folder)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", folder, err)
	}
	r := &Release{name: name, namespace: namespace, chart: ch, config: &action.Configuration{}}
	logger := log.New(out, "", log.Ltime)
	if err := r.config.Init(getter{c}, namespace, "secret", logger.Printf); err != nil {
		return nil, fmt.Errorf("helm: %w", err)
	}
	return r, nil
}

// Install installs the chart and waits until all is ready.
func (r *Release) Install(ctx context.Context, values map[string]any) error {
	in := action.NewInstall(r.config)
	in.ReleaseName, in.Namespace, in.Wait, in.Timeout = r.name, r.namespace, true, ReadyIn
	if _, err := in.RunWithContext(ctx, r.chart, values); err != nil {
		return fmt.Errorf("helm install: %w", err)
	}
	return nil
}

// Upgrade upgrades to other values, of which none are kept, and waits until all is ready.
func (r *Release) Upgrade(ctx context.Context, values map[string]any) error {
	up := action.NewUpgrade(r.config)
	up.Namespace, up.ResetValues, up.Wait, up.Timeout = r.namespace, true, true, ReadyIn
	if _, err := up.RunWithContext(ctx, r.name, r.chart, values); err != nil {
		return fmt.Errorf("helm upgrade: %w", err)
	}
	return nil
}

// Test runs the chart's tests and returns what their pods logged.
func (r *Release) Test(bound time.Duration) (logs string, err error) {
	test := action.NewReleaseTesting(r.config)
	test.Namespace, test.Timeout = r.namespace, bound
	rel, err := test.Run(r.name)
	var out bytes.Buffer
	if rel != nil {
		_ = test.GetPodLogs(&out, rel) // what there is, also of a test that failed
	}
	if err != nil {
		return out.String(), fmt.Errorf("helm test: %w", err)
	}
	return out.String(), nil
}

// Uninstall removes the release; one that is not there is no error.
func (r *Release) Uninstall() error {
	un := action.NewUninstall(r.config)
	un.Timeout = time.Minute
	if _, err := un.Run(r.name); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("helm uninstall: %w", err)
	}
	return nil
}

// getter gives helm the cluster.
type getter struct{ c *Cluster }

// ToRESTConfig returns a copy of the configuration.
func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.c.config), nil }

// ToRawKubeConfigLoader returns the kubeconfig as kind gave it.
func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return g.c.raw }

// ToDiscoveryClient returns a client that remembers.
func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return memory.NewMemCacheClient(g.c.Discovery()), nil
}

// ToRESTMapper returns a mapper over a discovery of its own.
func (g getter) ToRESTMapper() (meta.RESTMapper, error) {
	d, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	return restmapper.NewDeferredDiscoveryRESTMapper(d), nil
}
