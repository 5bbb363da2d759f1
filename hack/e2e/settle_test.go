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

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/hack/e2e/kube"
	"quotes/src/quote"
)

// lookEvery is how often a condition is looked at.
const lookEvery = 100 * time.Millisecond

// within waits until ok has nothing to complain of, and returns when that was. It fails after the bound, which is the promise.
func (s *suite) within(t *testing.T, bound time.Duration, what string, ok func(context.Context) error) time.Time {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.ctx, bound)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		err := ok(ctx)
		if err == nil {
			t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return time.Now()
		}
		if last == nil || ctx.Err() == nil { // the bound's own end says nothing
			last = err
		}
		select {
		case <-ctx.Done():
			s.interrupted(t)
			require.Fail(t, fmt.Sprintf("not within %v: %s", bound, what), "%v", last)
		case <-tick.C:
		}
	}
}

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

// fed complains of symbols whose live quotes the subscriber has not got since a moment.
func (s *suite) fed(events []history.Event, since time.Time) error {
	on := map[quote.Symbol]bool{}
	for i := range events {
		if e := &events[i]; e.Kind == history.Frame && e.State == quote.Live && e.At.After(since) {
			on[e.Symbol] = true
		}
	}
	for _, symbol := range s.symbols {
		if !on[symbol] {
			return fmt.Errorf("the subscriber gets no live quotes of %s", symbol)
		}
	}
	return nil
}

// calm complains where anything of the system is not as it should be: pods, slots, the reports and the feed of the last two
// seconds.
func (s *suite) calm(ctx context.Context) error {
	if err := s.allReady(ctx); err != nil {
		return err
	}
	for i := range shards {
		if err := s.inSync(ctx, i); err != nil {
			return err
		}
	}
	if err := s.seen.Err(); err != nil {
		return err
	}
	now := time.Now()
	last := judge.Turn{
		Since: now.Add(-2 * time.Second), Until: now.Add(-300 * time.Millisecond), State: quote.Live, Symbols: s.symbols, Least: 4 * rate,
	}
	events := s.seen.Events()
	if err := s.fed(events, last.Since); err != nil {
		return err
	}
	return errors.Join(
		judge.Turned(events, last), judge.Whole(events, history.Window{From: last.Since, To: last.Until}, last.Least))
}

// settled waits until the system is calm.
func (s *suite) settled(t *testing.T) {
	t.Helper()
	s.within(t, time.Minute, "all is settled", s.calm)
}

// hold lets the prober ask so many more reports on each path, whatever becomes of them.
func (s *suite) hold(t *testing.T, each int) history.Window {
	t.Helper()
	from := time.Now()
	s.within(t, time.Minute, fmt.Sprintf("%d reports on each path", each), func(context.Context) error {
		count := map[string]int{}
		for _, e := range s.seen.Events() {
			if e.Kind == history.Report && !e.At.Before(from) {
				count[e.Path]++
			}
		}
		for path, n := range count {
			if n < each {
				return fmt.Errorf("%d on %s", n, path)
			}
		}
		if len(count) < 4 {
			return fmt.Errorf("%d paths", len(count))
		}
		return nil
	})
	return history.Window{From: from, To: time.Now()}
}

// mark writes into the history what the suite does now, and returns when.
func (s *suite) mark(text string) time.Time {
	now := time.Now()
	s.seen.Add(history.Event{Kind: history.Mark, At: now, Text: text})
	return now
}

// concern says that the scenario of now replaces the pods of a component, or one pod.
func (s *suite) concern(names ...string) {
	for _, name := range names {
		s.concerned[name] = true
	}
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

// waitUntil lets real time pass up to a moment, with the prober at work.
func (s *suite) waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
		s.interrupted(t)
	}
}
