package prober

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

// fakePath answers after a while, or fails.
type fakePath struct {
	after time.Duration
	err   error
}

func (fakePath) name() string            { return "fake" }
func (fakePath) run(ctx context.Context) { <-ctx.Done() }

func (f fakePath) ask(ctx context.Context, _ quote.Symbol) (answer, error) {
	select {
	case <-time.After(f.after):
		return answer{Coverage: 1}, f.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// probe runs a prober with one fake path for so long, in a bubble of fake time.
func probe(t *testing.T, cfg Config, path fakePath, long time.Duration) (events []history.Event) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Aggregator, cfg.Symbols, cfg.History = "unused:1", []quote.Symbol{"A", "B"}, history.NewRecorder(nil, 0)
		p, err := New(cfg)
		require.NoError(t, err)
		p.paths = p.paths[:0]
		p.paths = append(p.paths, path)
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		require.NoError(t, p.Run(ctx))
		events = cfg.History.Events()
	})
	return events
}

func TestRequestsAreSentWhenDueWhateverBecameOfOthers(t *testing.T) {
	events := probe(t, Config{Rate: 10}, fakePath{after: 700 * time.Millisecond}, 1950*time.Millisecond)
	require.Len(t, events, 20, "those under way at the end are waited for")
	for i, e := range events {
		require.Equal(t, events[0].At.Add(time.Duration(i)*100*time.Millisecond), e.At)
		require.InDelta(t, 700, e.LatencyMS, 0)
		require.Empty(t, e.Class)
		require.InDelta(t, 1, e.Coverage, 0)
		require.Equal(t, []quote.Symbol{"A", "B"}[i%2], e.Symbol)
	}
}

func TestAHangIsOneTimeoutARequest(t *testing.T) {
	events := probe(t, Config{Rate: 10, Timeout: time.Second}, fakePath{after: time.Hour}, 950*time.Millisecond)
	require.Len(t, events, 10)
	for _, e := range events {
		require.Equal(t, history.Timeout, e.Class)
		require.InDelta(t, 1000, e.LatencyMS, 0)
	}
}

func TestWhatCouldNotBeSentIsAFailure(t *testing.T) {
	events := probe(t, Config{Rate: 10, MostFlying: 3}, fakePath{after: 2 * time.Second}, 950*time.Millisecond)
	count := map[history.Class]int{}
	for _, e := range events {
		count[e.Class]++
	}
	require.Equal(t, map[history.Class]int{"": 3, history.Overloaded: 7}, count)
}

func TestClassesOfFailures(t *testing.T) {
	for want, err := range map[history.Class]error{
		history.Dial:        &failure{history.Dial, fmt.Errorf("dial: %w", context.DeadlineExceeded)},
		history.Timeout:     fmt.Errorf("get: %w", context.DeadlineExceeded),
		history.NotReached:  fmt.Errorf("ask: %w", wire.ErrDown),
		history.Cut:         fmt.Errorf("ask: %w", wire.ErrClosed),
		history.BadAnswer:   &failure{history.BadAnswer, errors.New("no json")},
		"unavailable":       fmt.Errorf("ask: %w", wire.Errorf(wire.Unavailable, "away")),
		"deadline_exceeded": wire.Errorf(wire.DeadlineExceeded, "late"),
	} {
		require.Equal(t, want, classify(err), "%v", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	_, err := New(Config{})
	require.Error(t, err)
	_, err = New(Config{Aggregator: "a:1", Symbols: []quote.Symbol{"A"}, History: history.NewRecorder(nil, 0), Rate: -1})
	require.ErrorContains(t, err, "rate -1")
}
