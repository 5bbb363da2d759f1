package charts_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// drain is how long a process may take to stop: its server's 5 s, what it does after that, and its admin listener's second.
const drain = 10

func TestEveryPodPassesTheRestrictedPodSecurity(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	each(t, func(t *testing.T, o *objects) {
		require.Len(t, o.pods, len(components())+1)
		for _, p := range o.pods {
			r := policy.AggregateCheckResults(judge.EvaluatePod(restricted, &p.meta, &p.spec))
			require.True(t, r.Allowed, "%s: %s", p.name, r.ForbiddenDetail())
			require.True(t, *p.container().SecurityContext.ReadOnlyRootFilesystem, p.name)
			require.False(t, *p.spec.AutomountServiceAccountToken, p.name)
			require.False(t, *p.spec.EnableServiceLinks, p.name)
		}
	})
}

func TestPodsHaveTimeToStop(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		for _, p := range o.pods {
			if p.component == "test" {
				continue
			}
			wait := p.container().Lifecycle.PreStop.Sleep.Seconds
			require.Positive(t, wait, p.name)
			require.Greater(t, *p.spec.TerminationGracePeriodSeconds, wait+drain, p.name)
		}
	})
}

func TestProbesAreApartAndAskTheRightPath(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		for _, c := range components() {
			box := o.of(t, c).container()
			for path, probe := range map[string]*corev1.Probe{"/readyz": box.ReadinessProbe, "/livez": box.LivenessProbe} {
				require.Equal(t, path, probe.HTTPGet.Path, c)
				require.Equal(t, intstr.FromString("admin"), probe.HTTPGet.Port, c)
			}
			start := box.StartupProbe
			require.Equal(t, "/livez", start.HTTPGet.Path, c)
			require.GreaterOrEqual(t, start.PeriodSeconds*start.FailureThreshold, int32(30), "%s has time to start", c)
		}
	})
}

func TestGoKnowsTheMemoryLimit(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		for _, c := range components() {
			box := o.of(t, c).container()
			limit := box.Resources.Limits.Memory().Value()
			i := slices.IndexFunc(box.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			require.GreaterOrEqual(t, i, 0, c)
			kib, err := strconv.ParseInt(strings.TrimSuffix(box.Env[i].Value, "KiB"), 10, 64)
			require.NoError(t, err, c)
			require.InDelta(t, 0.9, float64(kib<<10)/float64(limit), 0.001, "%s: %s of %d", c, box.Env[i].Value, limit)
		}
	})
}

func TestRequestsAreSmallAndNoCPULimitThrottles(t *testing.T) {
	o := render(t, nil)
	var sum resource.Quantity
	for _, p := range o.pods {
		box := p.container().Resources
		require.NotContains(t, box.Limits, corev1.ResourceCPU, p.name)
		require.Contains(t, box.Requests, corev1.ResourceCPU, p.name)
		require.Contains(t, box.Requests, corev1.ResourceMemory, p.name)
		for range p.replicas {
			sum.Add(*box.Requests.Cpu())
		}
	}
	require.LessOrEqual(t, sum.MilliValue(), int64(600))
}

// The broker, core and the exchange never run twice, not even in a rollout; a drain takes shards and aggregators singly.
func TestHowManyRunAtATime(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		for _, c := range []string{"external", "broker", "core"} {
			p := o.of(t, c)
			require.LessOrEqual(t, p.replicas, int32(1), c)
			require.Equal(t, appsv1.RecreateDeploymentStrategyType, o.deploys[p.name].Spec.Strategy.Type, c)
		}
		for _, p := range o.pods {
			for _, b := range o.budgets {
				if labels.SelectorFromSet(b.Spec.Selector.MatchLabels).Matches(labels.Set(p.meta.Labels)) {
					require.Contains(t, []string{"shard", "aggregator"}, p.component)
					require.Equal(t, 1, b.Spec.MaxUnavailable.IntValue(), b.Name)
					require.Greater(t, p.replicas, int32(1), "%s: a budget of one pod only holds up drains", b.Name)
				}
			}
		}
	})
	require.Len(t, render(t, nil).budgets, 2)
	require.Empty(t, render(t, read(t, folder+"/ci/single-values.yaml")).budgets, "one of a kind must not hold up a drain")
	require.Empty(t, render(t, map[string]any{"podDisruptionBudget": map[string]any{"enabled": false}}).budgets)
}

func TestShardsStartTogetherAndKeepTheirVolumes(t *testing.T) {
	each(t, func(t *testing.T, o *objects) {
		p := o.of(t, "shard")
		set := o.sets[p.name]
		require.Equal(t, appsv1.ParallelPodManagement, set.Spec.PodManagementPolicy)
		require.Len(t, set.Spec.VolumeClaimTemplates, 1)
		claim := set.Spec.VolumeClaimTemplates[0]
		mounts := p.container().VolumeMounts
		require.Len(t, mounts, 1)
		require.Equal(t, claim.Name, mounts[0].Name)
		require.Equal(t, o.config(t, "shard")["QUOTES_DATA"], mounts[0].MountPath)
		require.Equal(t, strconv.Itoa(int(p.replicas)), set.Annotations["quotes/shards"])
	})
	kept := render(t, nil).sets["quotes-shard"].Spec.PersistentVolumeClaimRetentionPolicy
	require.Equal(t, appsv1.RetainPersistentVolumeClaimRetentionPolicyType, kept.WhenDeleted)
	gone := render(t, read(t, folder+"/ci/large-values.yaml")).sets["market-shard"].Spec.PersistentVolumeClaimRetentionPolicy
	require.Equal(t, appsv1.DeletePersistentVolumeClaimRetentionPolicyType, gone.WhenDeleted)
}

// A changed configuration rolls the pods of its component, and no others.
func TestPodsRollWithTheirOwnConfigurationOnly(t *testing.T) {
	before, after := render(t, nil), render(t, map[string]any{
		"external": map[string]any{"rate": 8}, "aggregator": map[string]any{"defaultSymbol": "VALE3"},
	})
	var changed []string
	for _, p := range before.pods {
		if now := after.of(t, p.component); !equalTemplates(t, p, now) {
			changed = append(changed, p.component)
		}
	}
	require.Equal(t, []string{"aggregator", "external"}, changed)
}

func equalTemplates(t *testing.T, a, b pod) bool {
	t.Helper()
	require.Equal(t, a.spec, b.spec)
	return a.meta.Annotations["checksum/config"] == b.meta.Annotations["checksum/config"]
}
