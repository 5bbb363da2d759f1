package charts_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"quotes/src/aggregator"
	"quotes/src/broker"
	"quotes/src/core"
	"quotes/src/exchange"
	"quotes/src/exchange/sim"
	"quotes/src/placement"
	"quotes/src/service"
	"quotes/src/shard"
)

func TestServicesLeadToPortsThatAreListenedOn(t *testing.T) {
	documented := map[string]int{"external": 8080, "broker": 8081, "core": 8082, "aggregator": 8000}
	each(t, func(t *testing.T, o *objects) {
		for _, s := range o.services {
			at := o.selected(t, metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			require.NotEmpty(t, at, s.Name)
			for _, c := range at {
				if c == "test" {
					continue // it listens on nothing
				}
				for _, p := range s.Spec.Ports {
					target := o.target(t, c, p.TargetPort)
					if want, ok := documented[c]; ok && p.Name == "data" {
						require.Equal(t, want, target, s.Name)
						require.EqualValues(t, want, p.Port, s.Name)
						require.Equal(t, want, listens(t, o.config(t, c)["QUOTES_LISTEN"]), s.Name)
					}
				}
			}
		}
		for _, c := range components() {
			box := o.of(t, c).container()
			admin := o.target(t, c, box.ReadinessProbe.HTTPGet.Port)
			require.Equal(t, admin, listens(t, o.config(t, c)["QUOTES_ADMIN"]), c)
		}
	})
}

// A monitor finds one Service by its labels, and behind it the admin ports of all pods, ready or not.
func TestTheMonitorScrapesEveryPod(t *testing.T) {
	require.Empty(t, render(t, nil).others)
	o := render(t, read(t, folder+"/ci/large-values.yaml"))
	require.Len(t, o.others, 1)
	monitor := o.others[0]
	require.Equal(t, "ServiceMonitor", monitor.GetKind())
	require.Equal(t, "prometheus", monitor.GetLabels()["release"], "the operator finds it by what the values say")
	match, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	require.NoError(t, err)
	var found []*corev1.Service
	for _, s := range o.services {
		if labels.SelectorFromSet(match).Matches(labels.Set(s.Labels)) {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1)
	require.True(t, found[0].Spec.PublishNotReadyAddresses)
	require.Subset(t, o.selected(t, metav1.LabelSelector{MatchLabels: found[0].Spec.Selector}), components())
	ends, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
	require.NoError(t, err)
	require.Len(t, ends, 1)
	require.Equal(t, found[0].Spec.Ports[0].Name, ends[0].(map[string]any)["port"])
	require.Equal(t, "admin", found[0].Spec.Ports[0].TargetPort.StrVal)
}

// listens returns the port of an address that is every one of the pod's own.
func listens(t *testing.T, addr string) int {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	require.Empty(t, host, "the kubelet and other pods must reach it")
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

// Every list of shards names all of them, shard N by its pod's stable name at port 9001+N, where it listens.
func TestShardListsAreTheShards(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		p := o.of(t, "shard")
		set := o.sets[p.name]
		head := o.services[set.Spec.ServiceName]
		require.Equal(t, corev1.ClusterIPNone, head.Spec.ClusterIP)
		require.True(t, head.Spec.PublishNotReadyAddresses, "its peers judge a shard by talking to it")
		var want []placement.Shard
		for i := range int(p.replicas) {
			addr := fmt.Sprintf("%s-%d.%s.market.svc:%d", set.Name, i, head.Name, 9001+i)
			want = append(want, placement.Shard{Name: fmt.Sprintf("shard-%d", i), Addr: addr})
		}
		copies := o.config(t, "shard")["QUOTES_COPIES"]
		for _, c := range []string{"core", "shard", "aggregator"} {
			got, err := placement.ParseShards(o.config(t, c)["QUOTES_SHARDS"])
			require.NoError(t, err)
			require.Equal(t, want, got, c)
			require.Equal(t, copies, o.config(t, c)["QUOTES_COPIES"], c)
			n, err := strconv.Atoi(copies)
			require.NoError(t, err)
			_, err = placement.New(got, n)
			require.NoError(t, err, c)
		}
		require.Equal(t, "0.0.0.0", o.config(t, "shard")["QUOTES_HOST"])
		require.NotContains(t, o.config(t, "shard"), "QUOTES_LISTEN", "each has its own, after its name")
	})
}

// A misspelt variable would be passed over in silence, a wrong value would stop the pod.
func TestProcessesCanReadTheirConfiguration(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		var (
			exch exchange.Config
			mark sim.Config
			brok broker.Config
			seq  core.Config
			shrd shard.Config
			aggr aggregator.Config
		)
		flags := map[string][]func(*pflag.FlagSet){
			"external": {exch.Flags, mark.Flags}, "broker": {brok.Flags}, "core": {seq.Flags}, "shard": {shrd.Flags}, "aggregator": {aggr.Flags},
		}
		for _, c := range components() {
			fs := pflag.NewFlagSet(c, pflag.ContinueOnError)
			for _, add := range flags[c] {
				add(fs)
			}
			for _, name := range []string{"admin", "log-level", "log-format"} { // every process has these
				fs.String(name, "", "")
			}
			config := o.config(t, c)
			require.NoError(t, service.FromEnv(fs, func(key string) (string, bool) { v, ok := config[key]; return v, ok }), c)
			read := 0
			fs.Visit(func(*pflag.Flag) { read++ })
			require.Equal(t, len(config), read, "flags that %s has not are in %v", c, config)
		}
		mark.Seed = exch.Seed
		_, err := sim.New(mark)
		require.NoError(t, err)
	})
}

// The host ports of kind.yaml are those that the chart's values give out, so that type NodePort is all there is to say.
func TestKindBringsTheNodePortsToThisMachineOnly(t *testing.T) {
	text, err := os.ReadFile("../k8s/kind.yaml")
	require.NoError(t, err)
	var cluster v1alpha4.Cluster
	require.NoError(t, yaml.UnmarshalStrict(text, &cluster))
	var roles []v1alpha4.NodeRole
	mapped := map[int32]int32{}
	for _, n := range cluster.Nodes {
		roles = append(roles, n.Role)
		for _, p := range n.ExtraPortMappings {
			require.Equal(t, "127.0.0.1", p.ListenAddress)
			require.GreaterOrEqual(t, p.HostPort, int32(30800))
			mapped[p.ContainerPort] = p.HostPort
		}
	}
	require.Equal(t, []v1alpha4.NodeRole{"control-plane", "worker", "worker"}, roles)
	o := render(t, map[string]any{
		"aggregator": map[string]any{"service": map[string]any{"type": "NodePort"}},
		"broker":     map[string]any{"service": map[string]any{"type": "NodePort"}},
	})
	given := map[int32]int32{}
	for _, s := range o.services {
		for _, p := range s.Spec.Ports {
			if p.NodePort != 0 {
				given[p.NodePort] = p.NodePort
			}
		}
	}
	require.Len(t, given, 2)
	require.Equal(t, given, mapped)
}
