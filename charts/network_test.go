package charts_test

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"quotes/src/placement"
)

// anybody stands for whom a rule without peers lets in.
const anybody = "anybody"

// TestPoliciesAreTheConnectionsThatAreMade compares what each pod is configured to dial with what the policies let out of it and
// let in at the other end: not one connection less, not one more.
func TestPoliciesAreTheConnectionsThatAreMade(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		if len(o.policies) == 0 {
			t.Skip("these values have no policies")
		}
		dialled := o.dialled(t)
		require.GreaterOrEqual(t, len(dialled), 9)
		in, out := map[string]bool{}, map[string]bool{}
		for _, p := range o.policies {
			require.ElementsMatch(t, []networkingv1.PolicyType{"Ingress", "Egress"}, p.Spec.PolicyTypes, p.Name)
			at := o.selected(t, p.Spec.PodSelector)
			require.Len(t, at, 1, p.Name)
			for _, rule := range p.Spec.Ingress {
				edges(in, o.peers(t, rule.From), at, rule.Ports)
			}
			for _, rule := range p.Spec.Egress {
				edges(out, at, o.peers(t, rule.To), rule.Ports)
			}
		}
		require.Equal(t, sorted(dialled), sorted(less(in, anybody+" ", "outside ")), "let in")
		require.Equal(t, sorted(dialled), sorted(less(out, anybody+":")), "let out")
	})
}

// What is open to others than ourselves: names, the two client ports, and the admin ports for scrapers that the values name.
func TestWhatIsOpenToOthers(t *testing.T) {
	dns := []corev1.Protocol{corev1.ProtocolUDP, corev1.ProtocolTCP}
	each(t, func(t *testing.T, o *objects) {
		for _, p := range o.policies {
			at := o.selected(t, p.Spec.PodSelector)[0]
			for _, rule := range p.Spec.Egress {
				if len(rule.To) == 0 {
					require.Len(t, rule.Ports, 2, at)
					for i, port := range rule.Ports {
						require.Equal(t, dns[i], *port.Protocol)
						require.Equal(t, 53, port.Port.IntValue())
					}
				}
			}
		}
	})
	require.ElementsMatch(t, []string{"anybody aggregator:8000", "anybody broker:8081"}, foreign(t, nil))
	require.ElementsMatch(t, []string{
		"outside aggregator:8000", "outside broker:8081", "outside aggregator:18000", "outside broker:18081", "outside core:18082",
		"outside external:18080", "outside shard:19001",
	}, foreign(t, read(t, folder+"/ci/large-values.yaml")))
}

// foreign returns the connections that the policies let in from whom the chart does not know.
func foreign(t *testing.T, values map[string]any) (list []string) {
	t.Helper()
	o := render(t, values)
	in := map[string]bool{}
	for _, p := range o.policies {
		for _, rule := range p.Spec.Ingress {
			edges(in, o.peers(t, rule.From), o.selected(t, p.Spec.PodSelector), rule.Ports)
		}
	}
	for e := range in {
		if strings.HasPrefix(e, anybody) || strings.HasPrefix(e, "outside") {
			list = append(list, e)
		}
	}
	return list
}

// dialled returns the connections that the configuration makes, as «from to:port».
func (o *objects) dialled(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	dial := func(from, addr string) {
		to, port := o.resolve(t, addr)
		found[fmt.Sprintf("%s %s:%d", from, to, port)] = true
	}
	for _, c := range components() {
		config := o.config(t, c)
		for _, key := range []string{"QUOTES_EXTERNAL", "QUOTES_BROKER", "QUOTES_CORE"} {
			if config[key] != "" {
				dial(c, config[key])
			}
		}
		if config["QUOTES_SHARDS"] != "" {
			shards, err := placement.ParseShards(config["QUOTES_SHARDS"])
			require.NoError(t, err)
			for _, s := range shards {
				dial(c, s.Addr)
			}
		}
	}
	for _, arg := range o.of(t, "test").container().Args {
		if name, addr, _ := strings.Cut(arg, "="); name == "--broker" || name == "--aggregator" {
			dial("test", addr)
		}
	}
	return found
}

// resolve returns the component behind an address of the configuration, and the port at its pods.
func (o *objects) resolve(t *testing.T, addr string) (component string, port int) {
	t.Helper()
	host, p, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	name, inner := strings.CutSuffix(host, ".market.svc")
	require.True(t, inner, "%s is a name in the release's namespace", addr)
	if podName, service, found := strings.Cut(name, "."); found { // a pod of a set
		set := o.sets[podName[:strings.LastIndex(podName, "-")]]
		require.NotNil(t, set, addr)
		require.Equal(t, set.Spec.ServiceName, service, addr)
		name = service
	}
	s := o.services[name]
	require.NotNil(t, s, "%s names a Service", addr)
	i := slices.IndexFunc(s.Spec.Ports, func(x corev1.ServicePort) bool { return strconv.Itoa(int(x.Port)) == p })
	require.GreaterOrEqual(t, i, 0, "Service %s has port %s", name, p)
	at := o.selected(t, metav1.LabelSelector{MatchLabels: s.Spec.Selector})
	require.Len(t, at, 1)
	return at[0], o.target(t, at[0], s.Spec.Ports[i].TargetPort)
}

// target returns the number of a container's port.
func (o *objects) target(t *testing.T, component string, port intstr.IntOrString) int {
	t.Helper()
	for _, p := range o.of(t, component).container().Ports {
		if p.Name == port.StrVal || int(p.ContainerPort) == port.IntValue() {
			return int(p.ContainerPort)
		}
	}
	require.Failf(t, "no such port", "%s has no container port %s", component, port.String())
	return 0
}

// selected returns the components whose pods a selector finds.
func (o *objects) selected(t *testing.T, s metav1.LabelSelector) (found []string) {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(&s)
	require.NoError(t, err)
	for _, p := range o.pods {
		if selector.Matches(labels.Set(p.meta.Labels)) {
			found = append(found, p.component)
		}
	}
	return found
}

// peers returns the components that a rule is about: anybody where it names none, outside for those of elsewhere.
func (o *objects) peers(t *testing.T, list []networkingv1.NetworkPolicyPeer) (found []string) {
	t.Helper()
	for _, p := range list {
		if p.PodSelector == nil || p.NamespaceSelector != nil {
			found = append(found, "outside")
			continue
		}
		at := o.selected(t, *p.PodSelector)
		require.NotEmpty(t, at)
		found = append(found, at...)
	}
	if len(list) == 0 {
		found = []string{anybody}
	}
	return found
}

func edges(into map[string]bool, from, to []string, ports []networkingv1.NetworkPolicyPort) {
	for _, f := range from {
		for _, t := range to {
			for _, p := range ports {
				into[fmt.Sprintf("%s %s:%d", f, t, p.Port.IntValue())] = true
			}
			if len(ports) == 0 {
				into[fmt.Sprintf("%s %s:every port", f, t)] = true
			}
		}
	}
}

// less leaves out the edges that have one of some words in them.
func less(edges map[string]bool, words ...string) map[string]bool {
	out := maps.Clone(edges)
	maps.DeleteFunc(out, func(e string, _ bool) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e, w) })
	})
	return out
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
