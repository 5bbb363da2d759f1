//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/hack/e2e/kube"
	"quotes/src/quote"
	"quotes/src/wire"
)

// The exchange's breaker, as core names it.
const exchangeBreaker = "exchange"

// What consumers are promised around the exchange, on a cluster.
const (
	staleIn  = 2 * time.Second
	reasonIn = time.Second // from core's own word that the breaker is open until prices say so
	liveIn   = 5 * time.Second
)

// The exchange is scaled to 0: last prices, stale with a reason and an age; the breaker opens; reports go on and are whole. It
// is scaled to 1: half-open, recovering, live; nothing else is restarted.
func exchangeGoneAndBack(t *testing.T, s *suite) {
	s.concern("external")
	began := time.Now()
	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-external", 0))
	gone := s.stopped(t, "external", began)
	s.within(t, staleIn+2*time.Second, "core's status says that the breaker is open", func(ctx context.Context) error {
		state, _, err := s.breaker(ctx)
		if err == nil && state != "open" && state != "half-open" { // half-open: it probes just now
			err = errors.New("it is " + state)
		}
		return err
	})
	open := time.Now()
	s.gone(t, "external")
	s.hold(t, 5*rate)
	until := time.Now()
	require.NoError(t, judge.Turned(s.seen.Events(), judge.Turn{
		Since: gone, Bound: staleIn, Until: until, State: quote.Stale, Reasons: []quote.Reason{quote.FeedSilent, quote.BreakerOpen},
		Feed: true, Symbols: s.symbols, Least: 8 * rate,
	}))
	require.NoError(t, judge.Turned(s.seen.Events(), judge.Turn{
		Since: open, Bound: reasonIn, Until: until, State: quote.Stale, Reasons: []quote.Reason{quote.BreakerOpen}, Feed: true, Symbols: s.symbols, Least: 8 * rate,
	}))

	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-external", 1))
	back := s.ready(t, "external")
	s.waitUntil(t, back.Add(liveIn))
	s.hold(t, 2*rate)
	require.NoError(t, judge.Turned(s.seen.Events(), judge.Turn{
		Since: back, Bound: liveIn, Until: time.Now(), State: quote.Live, Feed: true, Symbols: s.symbols, Least: 4 * rate,
	}))
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 30*rate))
	s.stayedReady(t, began)
	s.cycled(t, began)
	state, transitions, err := s.breaker(s.ctx)
	require.NoError(t, err)
	require.Equal(t, "closed", state)
	require.NoError(t, judge.Cycle(transitions), "in REQ_STATUS")
}

// stayedReady fails where a pod that is not the exchange was unready since a moment: readiness speaks of a process's own
// ability to answer, not of others.
func (s *suite) stayedReady(t *testing.T, since time.Time) {
	t.Helper()
	pods, err := s.Pods(s.ctx, s.namespace, "")
	require.NoError(t, err)
	for i := range pods {
		if c := kube.Component(&pods[i]); c != "external" && c != "test" {
			require.True(t, kube.ReadySince(&pods[i]).Before(since), "%s was unready", pods[i].Name)
		}
	}
}

// breaker returns the state of the breaker before the exchange, and its latest transitions, from core's status.
func (s *suite) breaker(ctx context.Context) (state string, transitions []string, err error) {
	st, err := s.core(ctx)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(st.Breakers, func(b wire.BreakerStatus) bool { return b.Name == exchangeBreaker })
	if i < 0 {
		return "", nil, fmt.Errorf("core's status has no breaker %q", exchangeBreaker)
	}
	for _, raw := range st.Breakers[i].Transitions {
		var tr struct{ From, To string }
		if err := json.Unmarshal(raw, &tr); err != nil {
			return "", nil, fmt.Errorf("transition %s: %w", raw, err)
		}
		transitions = append(transitions, tr.From+">"+tr.To)
	}
	return st.Breakers[i].State, transitions, nil
}

// transitions returns what core logged of the breaker before the exchange, from a moment on.
func (s *suite) transitions(from time.Time) (out []string) {
	for _, line := range s.logs.Lines("core", "breaker", from) {
		if line.All["breaker"] == exchangeBreaker {
			out = append(out, fmt.Sprintf("%v>%v", line.All["from"], line.All["to"]))
		}
	}
	return out
}

// cycled waits for core's log, which is a moment behind.
func (s *suite) cycled(t *testing.T, from time.Time) {
	t.Helper()
	s.within(t, 5*time.Second, "core's log has the breaker's cycle", func(context.Context) error { return judge.Cycle(s.transitions(from)) })
}

// The exchange as it is outside: outages, cuts, hangs, garbage. Reports go on and are whole, prices go stale in an outage and
// come back by themselves.
func unstableExchange(t *testing.T, s *suite) {
	s.concern("external")
	s.upgradeTo(t, map[string]map[string]any{"external": {"chaos": "unstable"}})
	began := time.Now()
	s.within(t, 90*time.Second, "an outage has come and gone", func(context.Context) error {
		over := s.logs.Lines("external", "outage over", began)
		if len(over) == 0 {
			return errors.New("no outage is over yet")
		}
		closed := s.transitions(over[0].Time.Add(-time.Second)) // the log line may come behind a probe
		if !slices.Contains(closed, "half-open>closed") {
			return fmt.Errorf("the breaker has not closed: %v", closed)
		}
		return judge.Cycle(s.transitions(began)) // another fault may have opened it before the outage
	})
	s.within(t, 20*time.Second, "all prices are live again", func(context.Context) error {
		now := time.Now()
		return judge.Turned(s.seen.Events(), judge.Turn{
			Since: now.Add(-2 * time.Second), Until: now.Add(-300 * time.Millisecond), State: quote.Live, Symbols: s.symbols, Least: 4 * rate,
		})
	})
	w := history.Window{From: began, To: time.Now()}
	require.NoError(t, judge.Whole(s.seen.Events(), w, 30*rate))
	stale := 0
	for _, e := range s.seen.Events() {
		if e.Kind == history.Report && w.Has(e.At) && e.State == quote.Stale && e.Reason == quote.BreakerOpen {
			stale++
		}
	}
	require.Greater(t, stale, 3*rate, "the outage was seen in reports")
}
