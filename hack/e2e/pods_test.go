//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"quotes/hack/e2e/kube"
)

// replicas are the pods of a calm system.
func replicas() map[string]int {
	return map[string]int{"external": 1, "broker": 1, "core": 1, "shard": shards, "aggregator": 2}
}

// restore brings back what a scenario that failed may have left scaled down, so that the next one can be judged.
func (s *suite) restore(t *testing.T) {
	if !t.Failed() || s.ctx.Err() != nil {
		return
	}
	for component, n := range replicas() {
		if err := s.Scale(s.ctx, s.namespace, release+"-"+component, n); err != nil {
			t.Log(err)
		}
	}
}

// allReady complains of pods that are missing, too many, going or not ready.
func (s *suite) allReady(ctx context.Context) error {
	pods, err := s.Pods(ctx, s.namespace, "")
	if err != nil {
		return err
	}
	count := map[string]int{}
	for i := range pods {
		p := &pods[i]
		if kube.Component(p) == "test" {
			continue
		}
		if !kube.Ready(p) {
			return fmt.Errorf("%s is not ready", p.Name)
		}
		count[kube.Component(p)]++
	}
	for component, want := range replicas() {
		if count[component] != want {
			return fmt.Errorf("%d pods of %s: want %d", count[component], component, want)
		}
	}
	return nil
}

// identity is what changes when a pod is replaced or its container restarted.
type identity struct {
	uid      string
	restarts int32
}

func (s *suite) identities(t *testing.T) map[string]identity {
	t.Helper()
	pods, err := s.Pods(context.WithoutCancel(s.ctx), s.namespace, "")
	require.NoError(t, err)
	out := map[string]identity{}
	for i := range pods {
		p := &pods[i]
		if kube.Component(p) != "test" {
			out[p.Name] = identity{string(p.UID), kube.Restarts(p)}
		}
	}
	return out
}

// bystanders fails where a pod that the scenario did not concern is gone, was replaced or has restarted.
func (s *suite) bystanders(t *testing.T, before map[string]identity, components map[string]string) {
	t.Helper()
	after := s.identities(t)
	for name, id := range before {
		if s.concerned[name] || s.concerned[components[name]] {
			continue
		}
		require.Equal(t, id, after[name], "%s was not concerned, and is not what it was", name)
	}
}

// components says of each pod what it is.
func (s *suite) components(t *testing.T) map[string]string {
	t.Helper()
	pods, err := s.Pods(s.ctx, s.namespace, "")
	require.NoError(t, err)
	out := map[string]string{}
	for i := range pods {
		out[pods[i].Name] = kube.Component(&pods[i])
	}
	return out
}

// gone waits until no pod of a component is left.
func (s *suite) gone(t *testing.T, component string) {
	t.Helper()
	s.within(t, 40*time.Second, component+" is gone", func(ctx context.Context) error {
		pods, err := s.Pods(ctx, s.namespace, component)
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d pods are left", len(pods))
		}
		return err
	})
}

// ready waits until a component has all its pods, none of them one of old, and returns when.
func (s *suite) ready(t *testing.T, component string, old ...corev1.Pod) time.Time {
	t.Helper()
	return s.within(t, time.Minute, component+" is ready", func(ctx context.Context) error {
		pods, err := s.Pods(ctx, s.namespace, component)
		if err != nil {
			return err
		}
		for i := range pods {
			if !kube.Ready(&pods[i]) {
				return fmt.Errorf("%s is not ready", pods[i].Name)
			}
			if n := kube.Restarts(&pods[i]); n > 0 && len(old) > 0 {
				return fmt.Errorf("%s has restarted %d times", pods[i].Name, n)
			}
			for j := range old {
				if old[j].UID == pods[i].UID {
					return fmt.Errorf("%s is still there", pods[i].Name)
				}
			}
		}
		if want := replicas()[component]; len(pods) != want {
			return fmt.Errorf("%d pods: want %d", len(pods), want)
		}
		return nil
	})
}

// ended complains while a shard's pod has not logged that it ended by itself: one that is killed does not.
func (s *suite) ended(pod string, from time.Time) error {
	for _, l := range s.logs.Lines("shard", "stopped", from) {
		if l.Pod == pod {
			return nil
		}
	}
	return errors.New("no line")
}

// stopped returns when a process of a component ended, as it logged itself: a pod's end comes later, its deletion earlier.
func (s *suite) stopped(t *testing.T, component string, from time.Time) (at time.Time) {
	t.Helper()
	s.within(t, 30*time.Second, component+" has logged its end", func(context.Context) error {
		lines := s.logs.Lines(component, "stopped", from)
		if len(lines) == 0 {
			return errors.New("no line")
		}
		at = lines[0].Time
		return nil
	})
	return at
}
