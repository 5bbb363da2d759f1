//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/hack/e2e/history"
	"quotes/hack/e2e/judge"
	"quotes/hack/e2e/prober"
	"quotes/src/cli"
	"quotes/src/quote"
	"quotes/src/wire"
)

// Bounds around restarts.
const (
	lostIn     = 3 * time.Second  // from core's end until everybody says so
	coreLiveIn = 10 * time.Second // from a new core's readiness until all prices are live
	resumeIn   = 5 * time.Second  // from a new broker's readiness until subscribers have resumed
	redialIn   = 2 * time.Second  // how long a kept connection to an aggregator that ends may be of no use
)

// core is scaled to 0: prices and heartbeats say so, reports carry the last known price and are whole all the same. It is
// scaled to 1: a new epoch, subscribers go on, history continues.
func coreGoneAndBack(t *testing.T, s *suite) {
	s.concern("core")
	old, err := s.core(s.ctx)
	require.NoError(t, err)
	promised := s.durable(t)
	began := time.Now()
	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-core", 0))
	gone := s.stopped(t, "core", began)
	s.gone(t, "core")
	s.waitUntil(t, gone.Add(lostIn))
	s.hold(t, 3*rate)
	until := time.Now()
	require.NoError(t, judge.Source(s.seen.Events(), gone, lostIn, wire.SourceLost))
	require.NoError(t, judge.Turned(s.seen.Events(), judge.Turn{
		Since: gone, Bound: lostIn, Until: until, State: quote.Stale, Reasons: []quote.Reason{quote.CoreLost}, Symbols: s.symbols, Least: 12 * rate,
	}))

	require.NoError(t, s.Scale(s.ctx, s.namespace, release+"-core", 1))
	back := s.ready(t, "core")
	s.newCore(t, old.Epoch, back)
	require.NoError(t, judge.Source(s.seen.Events(), back, coreLiveIn, wire.SourceLive))
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 30*rate))
	s.kept(t, promised)
}

// newCore fails where prices are not live in time, or where the new core does not write a newer epoch that reaches both the
// subscriber and history.
func (s *suite) newCore(t *testing.T, old uint64, back time.Time) {
	t.Helper()
	s.waitUntil(t, back.Add(coreLiveIn))
	s.hold(t, 2*rate)
	require.NoError(t, judge.Turned(s.seen.Events(), judge.Turn{
		Since: back, Bound: coreLiveIn, Until: time.Now(), State: quote.Live, Feed: true, Symbols: s.symbols, Least: 4 * rate,
	}))
	now, err := s.core(s.ctx)
	require.NoError(t, err)
	require.Greater(t, now.Epoch, old)
	seen := map[quote.Topic]bool{}
	for _, e := range s.seen.Events() {
		if e.Kind == history.Frame && e.Epoch == now.Epoch {
			seen[e.Topic] = true
		}
	}
	held := s.held(t, now.Epoch)
	for _, symbol := range s.symbols {
		topic := quote.TopicOf(quote.Quotes, symbol)
		require.True(t, seen[topic], "the subscriber goes on with %s", topic)
		require.NotNil(t, held[topic], "history goes on with %s", topic)
		require.NotZero(t, held[topic].Through(), "from seq 1 on: %v", held[topic].Spans())
	}
}

// core is restarted by a rollout.
func coreRolled(t *testing.T, s *suite) {
	s.concern("core")
	old, err := s.core(s.ctx)
	require.NoError(t, err)
	promised := s.durable(t)
	began := time.Now()
	back := s.roll(t, "core")
	s.newCore(t, old.Epoch, back)
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 30*rate))
	s.kept(t, promised)
}

// roll restarts a component and returns when its new pods were ready and the old ones gone.
func (s *suite) roll(t *testing.T, component string) time.Time {
	t.Helper()
	old, err := s.Pods(s.ctx, s.namespace, component)
	require.NoError(t, err)
	s.mark("roll " + component)
	require.NoError(t, s.Restart(s.ctx, s.namespace, release+"-"+component))
	return s.ready(t, component, old...)
}

// The broker is restarted by a rollout: subscribers resume by position, and what they lost is named, to the record.
func brokerRolled(t *testing.T, s *suite) {
	s.concern("broker")
	proven := s.verify(t)
	began := time.Now()
	back := s.roll(t, "broker")
	s.within(t, resumeIn, "every topic of quotes goes on", func(context.Context) error { return s.fed(s.seen.Events(), back) })
	gaps := judge.Gaps(s.seen.Events(), history.Window{From: began})
	require.NotEmpty(t, gaps, "what core published without a broker is named")
	for _, gap := range gaps {
		if gap.Topic.Symbol() == "" {
			continue
		}
		require.NotNil(t, gap.Count, "%+v", gap)
		s.within(t, 10*time.Second, fmt.Sprintf("REQ_HIST fills %d lost of %s", *gap.Count, gap.Topic), func(context.Context) error { return s.filled(gap) })
	}
	require.NoError(t, judge.Whole(s.seen.Events(), history.Window{From: began, To: time.Now()}, 8*rate), "reports do not need the broker")
	proven()
}

// verify runs `quotectl sub --verify` beside what happens until proven is called: it must have seen every record once, on the wire or
// from history.
func (s *suite) verify(t *testing.T) (proven func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	var said bytes.Buffer
	var shown lines
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, cli.Config{Out: &shown, Err: &said}, []string{
			"sub", "quotes.*", "trades.*", "--verify", "-o", "ndjson", "--broker", s.ports.broker.host, "--aggregator", s.ports.aggregator.host,
		})
	}()
	t.Cleanup(cancel)
	return func() {
		want := shown.Load() + 400 // more than what was lost: by then it is live
		s.within(t, 4*resumeIn, "quotectl has filled what it lost, and goes on", func(context.Context) error {
			if n := shown.Load(); n < want {
				return fmt.Errorf("%d of %d frames", n, want)
			}
			return nil
		})
		cancel()
		ended := <-code
		t.Logf("quotectl sub --verify: %s", said.String())
		require.Equal(t, cli.ExitOK, ended, "quotectl sub --verify")
	}
}

// filled complains where history does not have exactly what was lost.
func (s *suite) filled(gap wire.Lost) error {
	limit := 2000
	var resp wire.RespHist
	err := s.aggregator(wire.TypeReqHist, wire.ReqHist{
		Symbols: []quote.Symbol{gap.Topic.Symbol()}, Kinds: []quote.Kind{gap.Topic.Kind()},
		After: map[quote.Topic]quote.Point{gap.Topic: gap.After}, Before: map[quote.Topic]quote.Point{gap.Topic: gap.Before}, Limit: &limit,
	}, &resp)
	if err != nil {
		return err
	}
	if uint64(len(resp.Records)) != *gap.Count {
		return fmt.Errorf("%d records, %d were lost", len(resp.Records), *gap.Count)
	}
	return nil
}

// The aggregators are restarted by a rollout: nobody who connects anew is ever refused, and a kept connection is of no use
// for a moment only.
func aggregatorRolled(t *testing.T, s *suite) {
	s.concern("aggregator")
	began := time.Now()
	s.roll(t, "aggregator")
	s.hold(t, 2*rate)
	s.rolledOver(t, began)
}

// rolledOver judges reports while aggregators were replaced.
func (s *suite) rolledOver(t *testing.T, began time.Time) {
	t.Helper()
	w := history.Window{From: began, To: time.Now()}
	events := s.seen.Events()
	require.NoError(t, judge.Answered(events, w, 8*rate, prober.TCPNew, prober.HTTPNew))
	require.NoError(t, judge.AnsweredBut(events, w, redialIn, 8*rate, prober.TCPKept, prober.HTTPKept))
	classes := map[history.Class]int{}
	var failed error
	for _, e := range events {
		if e.Kind == history.Report && w.Has(e.At) && e.Class != "" {
			classes[e.Class]++
			failed = errors.New(e.Text)
		}
	}
	if failed != nil {
		t.Logf("kept connections failed: %v, such as: %v", classes, failed)
	}
}

// lines counts the lines that are written to it.
type lines struct{ atomic.Int64 }

func (l *lines) Write(b []byte) (int, error) {
	l.Add(int64(bytes.Count(b, []byte{'\n'})))
	return len(b), nil
}
