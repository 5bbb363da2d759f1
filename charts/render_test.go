package charts_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const folder = "quotes"

// components are the parts of the system, each with its own configuration.
func components() []string { return []string{"aggregator", "broker", "core", "external", "shard"} }

// pod is a pod template, of whatever kind of object.
type pod struct {
	name, component string
	replicas        int32
	meta            metav1.ObjectMeta
	spec            corev1.PodSpec
}

func (p pod) container() corev1.Container { return p.spec.Containers[0] }

// objects are what the chart renders, typed, by name.
type objects struct {
	pods     []pod // the helm test's too
	deploys  map[string]*appsv1.Deployment
	sets     map[string]*appsv1.StatefulSet
	services map[string]*corev1.Service
	configs  map[string]*corev1.ConfigMap
	policies map[string]*networkingv1.NetworkPolicy
	budgets  map[string]*policyv1.PodDisruptionBudget
	others   []*unstructured.Unstructured // whose types this program does not know
}

// of returns the pod template of a component.
func (o *objects) of(t *testing.T, component string) pod {
	t.Helper()
	i := slices.IndexFunc(o.pods, func(p pod) bool { return p.component == component })
	require.GreaterOrEqual(t, i, 0, "no pod of component %s", component)
	return o.pods[i]
}

// config returns what a component is configured with.
func (o *objects) config(t *testing.T, component string) map[string]string {
	t.Helper()
	from := o.of(t, component).container().EnvFrom
	require.Len(t, from, 1)
	c := o.configs[from[0].ConfigMapRef.Name]
	require.NotNil(t, c, "%s has the configuration %s", component, from[0].ConfigMapRef.Name)
	return c.Data
}

// templates renders the chart as release quotes in namespace market. An installed cluster may be asked through client.
func templates(values map[string]any, client engine.ClientProvider) (map[string]string, error) {
	ch, err := loader.Load(folder)
	if err != nil {
		return nil, err
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	opts := chartutil.ReleaseOptions{Name: "quotes", Namespace: "market", Revision: 1, IsInstall: true}
	vals, err := chartutil.ToRenderValues(ch, values, opts, caps)
	if err != nil {
		return nil, err
	}
	if client != nil {
		return engine.RenderWithClientProvider(ch, vals, client)
	}
	return engine.Render(ch, vals)
}

// manifests renders the chart and splits it, sorted as helm installs it, the hooks apart.
func manifests(values map[string]any) ([]releaseutil.Manifest, []*release.Hook, error) {
	files, err := templates(values, nil)
	if err != nil {
		return nil, nil, err
	}
	delete(files, "quotes/templates/NOTES.txt")
	hooks, list, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	return list, hooks, err
}

// render renders the chart with values into typed objects. A field that its type does not have is an error.
func render(t *testing.T, values map[string]any) *objects {
	t.Helper()
	list, hooks, err := manifests(values)
	require.NoError(t, err)
	o := &objects{
		deploys: map[string]*appsv1.Deployment{}, sets: map[string]*appsv1.StatefulSet{}, services: map[string]*corev1.Service{},
		configs: map[string]*corev1.ConfigMap{}, policies: map[string]*networkingv1.NetworkPolicy{},
		budgets: map[string]*policyv1.PodDisruptionBudget{},
	}
	for _, m := range list {
		o.add(t, m.Content)
	}
	for _, h := range hooks {
		o.add(t, h.Manifest)
	}
	slices.SortFunc(o.pods, func(a, b pod) int { return cmp.Compare(a.name, b.name) })
	return o
}

func (o *objects) add(t *testing.T, text string) {
	t.Helper()
	var head metav1.PartialObjectMetadata
	require.NoError(t, yaml.Unmarshal([]byte(text), &head))
	obj, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(head.APIVersion, head.Kind))
	if err != nil {
		obj = &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(text), obj), text)
	} else {
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), obj), text)
	}
	require.Equal(t, "market", head.Namespace, "%s %s", head.Kind, head.Name)
	switch x := obj.(type) {
	case *appsv1.Deployment:
		o.deploys[x.Name] = x
		o.pods = append(o.pods, newPod(x.Name, *x.Spec.Replicas, x.Spec.Template.ObjectMeta, x.Spec.Template.Spec))
	case *appsv1.StatefulSet:
		o.sets[x.Name] = x
		o.pods = append(o.pods, newPod(x.Name, *x.Spec.Replicas, x.Spec.Template.ObjectMeta, x.Spec.Template.Spec))
	case *corev1.Pod:
		o.pods = append(o.pods, newPod(x.Name, 1, x.ObjectMeta, x.Spec))
	case *corev1.Service:
		o.services[x.Name] = x
	case *corev1.ConfigMap:
		o.configs[x.Name] = x
	case *networkingv1.NetworkPolicy:
		o.policies[x.Name] = x
	case *policyv1.PodDisruptionBudget:
		o.budgets[x.Name] = x
	case *unstructured.Unstructured:
		o.others = append(o.others, x)
	default:
		require.Failf(t, "unknown object", "%T: teach the tests what must hold for it", obj)
	}
}

func newPod(name string, replicas int32, meta metav1.ObjectMeta, spec corev1.PodSpec) pod {
	return pod{name: name, component: meta.Labels["app.kubernetes.io/component"], replicas: replicas, meta: meta, spec: spec}
}

// each runs a check with every values file of ci/.
func each(t *testing.T, check func(t *testing.T, o *objects)) {
	t.Helper()
	files, err := filepath.Glob(folder + "/ci/*-values.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 4)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), "-values.yaml"), func(t *testing.T) {
			check(t, render(t, read(t, file)))
		})
	}
}

func read(t *testing.T, file string) (values map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &values))
	return values
}
