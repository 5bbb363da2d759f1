package charts_test

import (
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for text, says := range map[string][]string{
		`external: {replicas: -1}`:                           {"/external/replicas", "-1", "want 0"},
		`external: {replicas: 2}`:                            {"/external/replicas", "want 1"},
		`external: {chaos: wild}`:                            {"/external/chaos", "unstable", "calm"},
		`external: {symbols: []}`:                            {"/external/symbols"},
		`external: {symbols: [petr4]}`:                       {"/external/symbols/0", "petr4"},
		`external: {rate: 0}`:                                {"/external/rate"},
		`external: {seed: 1.5}`:                              {"/external/seed"},
		`broker: {replicas: 2}`:                              {"/broker/replicas", "want 1"},
		`core: {replicas: 2}`:                                {"/core/replicas", "want 1"},
		`core: {replicas: 0}`:                                {"/core/replicas", "want 1"},
		`shard: {replicas: -3}`:                              {"/shard/replicas", "-3"},
		`shard: {replicas: three}`:                           {"/shard/replicas", "want integer"},
		`shard: {copies: 0}`:                                 {"/shard/copies"},
		`shard: {replicas: 2, copies: 3}`:                    {"shard.replicas is 2", "shard.copies is 3"},
		`shard: {history: {maxAge: 30d}}`:                    {"/shard/history/maxAge", "30d"},
		`shard: {history: {maxMB: -1}}`:                      {"/shard/history/maxMB", "-1"},
		`shard: {rebuild: please}`:                           {"/shard/rebuild", "want boolean"},
		`shard: {storage: {size: big}}`:                      {"/shard/storage/size", "big"},
		`shard: {storage: {size: 512Mi}}`:                    {"shard.history.maxMB is 512", "shard.storage.size is 512Mi", "at least 1024Mi"},
		`shard: {storage: {retention: {whenDeleted: Keep}}}`: {"/shard/storage/retention/whenDeleted", "Retain"},
		`aggregator: {replicas: 0}`:                          {"/aggregator/replicas", "want 1"},
		`aggregator: {defaultSymbol: a b}`:                   {"/aggregator/defaultSymbol"},
		`aggregator: {service: {nodePort: 80}}`:              {"/aggregator/service/nodePort", "80"},
		`aggregator: {service: {nodePort: http}}`:            {"/aggregator/service/nodePort"},
		`broker: {service: {type: LoadBalancer}}`:            {"/broker/service/type", "NodePort"},
		`broker: {service: {port: 9}}`:                       {"/broker/service", "port"},
		`broker: {resources: {limits: {memory: lots}}}`:      {"/broker/resources/limits/memory", "lots"},
		`broker: {resources: {limits: {memory: null}}}`:      {"/broker/resources/limits", "memory"},
		`broker: {resources: {requests: {cpu: -1}}}`:         {"/broker/resources/requests/cpu"},
		`images: {core: "quotes/core"}`:                      {"/images/core", "quotes/core"},
		`images: {core: "quotes/core@sha256:12"}`:            {"/images/core", "sha256:12"},
		`imagePullPolicy: Sometimes`:                         {"/imagePullPolicy", "IfNotPresent"},
		`commonLabels: {app.kubernetes.io/name: x}`:          {"/commonLabels/app.kubernetes.io"},
		`networkPolicy: {clients: [everybody]}`:              {"/networkPolicy/clients/0"},
		`networkPolicy: {clients: [{}]}`:                     {"/networkPolicy/clients/0"},
		`log: {level: loud}`:                                 {"/log/level", "debug"},
		`shards: 3`:                                          {"shards", "not allowed"},
		`external: {chaso: calm}`:                            {"/external", "chaso"},
		`fullnameOverride: Quotes_1`:                         {"/fullnameOverride", "Quotes_1"},
		`preStopSeconds: 0`:                                  {"/preStopSeconds"},
		`terminationGracePeriodSeconds: 12`:                  {"terminationGracePeriodSeconds is 12", "at least 13"},
		`preStopSeconds: 10`:                                 {"terminationGracePeriodSeconds is 20", "at least 21"},
		`serviceMonitor: {enabled: true}`:                    {"serviceMonitor.enabled", "networkPolicy.scrapers"},
		`{broker: {service: {type: NodePort, nodePort: 30800}}, aggregator: {service: {type: NodePort}}}`: {
			"broker.service.nodePort", "aggregator.service.nodePort", "30800",
		},
	} {
		t.Run(text, func(t *testing.T) {
			var values map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(text), &values))
			_, err := templates(values, nil)
			require.Error(t, err)
			for _, word := range says {
				require.ErrorContains(t, err, word)
			}
		})
	}
}

func TestSymbolsAreOneVariable(t *testing.T) {
	many := make([]any, 6000)
	for i := range many {
		many[i] = "ABCDEFGHIJKLMNOPQRSTU" + strconv.Itoa(1000+i)
	}
	_, err := templates(map[string]any{"external": map[string]any{"symbols": many}}, nil)
	require.ErrorContains(t, err, "external.symbols takes")
	_, err = templates(map[string]any{"external": map[string]any{"symbols": many[:4000]}}, nil)
	require.NoError(t, err)
}

func TestImagesAreFullReferences(t *testing.T) {
	for _, ref := range []string{
		"core:1", "kind.local/core:src-0123", "localhost:5001/quotes/core:dev", "ko://quotes/src/cmd/core",
		"registry.example/core@sha256:" + strings.Repeat("0a", 32), "registry.example/core:v1@sha256:" + strings.Repeat("0a", 32),
	} {
		o := render(t, map[string]any{"images": map[string]any{"core": ref}})
		require.Equal(t, ref, o.of(t, "core").container().Image)
	}
}

// cluster is what lookup asks: one with the objects of a fake client.
type cluster struct{ client dynamic.Interface }

// GetClientFor returns the client of a kind, all of which are in namespaces here.
func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	return c.client.Resource(gv.WithResource(strings.ToLower(kind) + "s")), true, err
}

func TestAnotherNumberOfShardsThanInstalledIsRefused(t *testing.T) {
	set := func(annotations map[string]any) engine.ClientProvider {
		return cluster{fake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "StatefulSet",
			"metadata": map[string]any{"name": "quotes-shard", "namespace": "market", "annotations": annotations},
			"spec":     map[string]any{"replicas": int64(3)},
		}})}
	}
	for value, says := range map[string]string{"size": "shard.storage.size is 2Gi but volumes of 1Gi are installed", "className": `shard.storage.className is "2Gi" but volumes of "" are installed`} {
		claims := cluster{fake.NewSimpleDynamicClient(runtime.NewScheme(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": map[string]any{"name": "quotes-shard", "namespace": "market"},
			"spec": map[string]any{"replicas": int64(3), "volumeClaimTemplates": []any{map[string]any{"spec": map[string]any{
				"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
			}}}},
		}})}
		_, err := templates(map[string]any{"shard": map[string]any{"storage": map[string]any{"size": "1024Mi"}}}, claims)
		require.NoError(t, err, "another way to write the same")
		_, err = templates(map[string]any{"shard": map[string]any{"storage": map[string]any{value: "2Gi"}}}, claims)
		require.ErrorContains(t, err, says)
	}
	four := map[string]any{"shard": map[string]any{"replicas": 4}}
	for name, installed := range map[string]engine.ClientProvider{
		"annotated": set(map[string]any{"quotes/shards": "3"}), "bare": set(nil), "alien": set(map[string]any{"a": "b"}),
	} {
		_, err := templates(nil, installed)
		require.NoError(t, err, name)
		_, err = templates(four, installed)
		require.ErrorContains(t, err, "shard.replicas is 4 but 3 shards are installed", name)
		require.ErrorContains(t, err, "growing is not built yet", name)
	}
	_, err := templates(nil, set(map[string]any{"quotes/shards": "5"}))
	require.ErrorContains(t, err, "keep shard.replicas=5", "what was installed counts, not how many run now")
	empty := cluster{fake.NewSimpleDynamicClient(runtime.NewScheme())}
	_, err = templates(four, empty)
	require.NoError(t, err, "nothing is installed")
}

func TestLintIsClean(t *testing.T) {
	kube := &chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	files, err := os.ReadDir(folder + "/ci")
	require.NoError(t, err)
	for _, f := range files {
		l := lint.AllWithKubeVersionAndSchemaValidation(folder, read(t, folder+"/ci/"+f.Name()), "market", kube, false)
		for _, m := range l.Messages {
			require.Less(t, m.Severity, support.WarningSev, "%s: %s", f.Name(), m)
		}
	}
}

// What is for us alone does not travel with the chart.
func TestThePackageHoldsTheChartOnly(t *testing.T) {
	ch, err := loader.Load(folder)
	require.NoError(t, err)
	var names []string
	for _, f := range ch.Raw {
		if !strings.HasPrefix(f.Name, "templates/") {
			names = append(names, f.Name)
		}
		require.Contains(t, []string{".yaml", ".tpl", ".txt", ".json", ".md", ".helmignore"}, path.Ext(f.Name), f.Name)
	}
	slices.Sort(names)
	require.Equal(t, []string{".helmignore", "Chart.yaml", "README.md", "values.schema.json", "values.yaml"}, names)
}

func TestNotesTellTheNextCommands(t *testing.T) {
	files, err := templates(map[string]any{"fullnameOverride": "market"}, nil)
	require.NoError(t, err)
	notes := files["quotes/templates/NOTES.txt"]
	for _, command := range []string{
		"kubectl -n market port-forward svc/market-aggregator 8000", "kubectl -n market logs -f deploy/market-core", "helm -n market test quotes",
	} {
		require.Contains(t, notes, command)
	}
}

// Every value is in the schema and every property of the schema is a value.
func TestSchemaAndValuesAgree(t *testing.T) {
	text, err := os.ReadFile(folder + "/values.schema.json")
	require.NoError(t, err)
	var root map[string]any
	require.NoError(t, yaml.Unmarshal(text, &root))
	definitions := root["definitions"].(map[string]any)
	var compare func(at string, values, schema map[string]any)
	compare = func(at string, values, schema map[string]any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = definitions[path.Base(ref)].(map[string]any)
		}
		properties, ok := schema["properties"].(map[string]any)
		if !ok || len(values) == 0 {
			return // free by design
		}
		require.Equal(t, false, schema["additionalProperties"], at)
		for key := range properties {
			if _, known := values[key]; !known {
				require.Contains(t, []string{".cpu"}, "."+key, "%s.%s is in the schema alone", at, key)
			}
		}
		for key, value := range values {
			require.Contains(t, properties, key, at)
			if inner, ok := value.(map[string]any); ok {
				compare(at+"."+key, inner, properties[key].(map[string]any))
			}
		}
	}
	compare("", read(t, folder+"/values.yaml"), root)
}

// Every value of values.yaml changes something, where what it is for is switched on.
func TestEveryValueIsUsed(t *testing.T) {
	on := read(t, folder+"/ci/large-values.yaml")
	for _, c := range []string{"broker", "aggregator"} {
		section, _ := on[c].(map[string]any)
		on[c] = merged(section, map[string]any{"service": map[string]any{"type": "NodePort"}})
	}
	ch, err := loader.Load(folder)
	require.NoError(t, err)
	ch.Schema = nil // other values need not make sense
	full, err := chartutil.CoalesceValues(ch, on)
	require.NoError(t, err)
	outcome := func(values map[string]any) map[string]string {
		caps := chartutil.DefaultCapabilities.Copy()
		vals, err := chartutil.ToRenderValues(ch, values, chartutil.ReleaseOptions{Name: "quotes", Namespace: "market"}, caps)
		require.NoError(t, err)
		files, err := engine.Render(ch, vals)
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		return files
	}
	before := outcome(full)
	require.NotContains(t, before, "error")
	leaves := 0
	var walk func(at []string, values map[string]any)
	walk = func(at []string, values map[string]any) {
		for key, value := range values {
			here := append(slices.Clone(at), key)
			if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
				walk(here, inner)
				continue
			}
			leaves++
			require.NotEqual(t, before, outcome(with(full, here, other(value))), "%s changes nothing", strings.Join(here, "."))
		}
	}
	walk(nil, full)
	require.Greater(t, leaves, 50)
}

func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]any{}
	}
	maps.Copy(out, b)
	return out
}

// with returns values with another one at a path.
func with(values map[string]any, at []string, value any) map[string]any {
	out := maps.Clone(values)
	if len(at) == 1 {
		out[at[0]] = value
	} else {
		out[at[0]] = with(values[at[0]].(map[string]any), at[1:], value)
	}
	return out
}

// other returns a value unlike v, of the same kind.
func other(v any) any {
	switch x := v.(type) {
	case bool:
		return !x
	case float64:
		return x + 1
	case string:
		return x + "1"
	case []any:
		return []any{map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"other": "yes"}}}}
	case map[string]any:
		return map[string]any{"other": "yes"}
	default:
		return "other"
	}
}
